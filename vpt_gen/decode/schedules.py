"""Mask schedules: the share of tokens still masked as decoding (or a training draw) proceeds.

Source: MaskGIT (arXiv 2202.04200), google-research/maskgit `maskgit/libml/mask_schedule.py`;
'arccos' is from arXiv 2503.17076.
"""

import math
import re

import jax
import jax.numpy as jnp

from vpt_gen.errors import Requirement
from vpt_gen.ranges import Range

_POWER = re.compile(r"pow(\d+\.?\d*|\.\d+)")
_EXPONENT = Range(0.01, 100)
_KNOWN = f"'cosine', 'arccos', 'uniform', 'log', 'exp' or 'pow<exponent>' with {_EXPONENT}"


def check_schedule(name: str) -> None:
    """Raises ValueError if `name` is no mask schedule."""
    if not _is_schedule(name):
        raise ValueError(f"Mask schedule {name!r} is not known; use {_KNOWN}.")


def mask_rate(
    ratio: jax.Array | float, num_unknown: jax.Array | int, schedule: str = "cosine"
) -> jax.Array:
    """Returns the share of masked positions at progress `ratio` in [0, 1]: falls from 1 to 1e-6.

    Args:
      ratio: progress, any shape.
      num_unknown: masked positions at the start; only 'log' and 'exp' depend on it.
      schedule: 'uniform', 'cosine', 'arccos', 'log', 'exp' or 'pow<exponent>'.
    """
    check_schedule(schedule)
    ratio = jnp.asarray(ratio)
    if schedule == "uniform":
        rate = 1.0 - ratio
    elif schedule == "cosine":
        rate = jnp.cos(math.pi / 2.0 * ratio)
    elif schedule == "arccos":
        rate = jnp.arccos(ratio) / (math.pi / 2.0)
    elif schedule == "log":
        rate = -jnp.log2(ratio) / jnp.log2(num_unknown)
    elif schedule == "exp":
        rate = 1.0 - jnp.exp2(-jnp.log2(num_unknown) * (1.0 - ratio))
    else:
        rate = 1.0 - ratio ** float(schedule.removeprefix("pow"))
    return jnp.clip(rate, 1e-6, 1.0)


def schedule_requirement(name: str) -> Requirement:
    """Returns the requirement of a decoder's field `schedule`."""
    return "schedule", _is_schedule(name), _KNOWN


def _is_schedule(name: str) -> bool:
    if power := _POWER.fullmatch(name):
        return float(power[1]) in _EXPONENT
    return name in ("uniform", "cosine", "arccos", "log", "exp")
