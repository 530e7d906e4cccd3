"""Mask schedules: the share of tokens still masked as decoding (or a training draw) proceeds.

Source: MaskGIT (arXiv 2202.04200), google-research/maskgit `maskgit/libml/mask_schedule.py`;
'arccos' is from arXiv 2503.17076. And guidance schedules: how its scale rises during decoding.
"""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np

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


_POWER_COSINE = re.compile(r"powcosine(\d+\.?\d*|\.\d+)")
_RISES = (
    "'constant', 'linear', 'ramp', 'cosine', 'pow<exponent>' or 'powcosine<exponent>' with "
    f"{_EXPONENT}"
)


def guidance_shares(count: int, schedule: str = "constant", start: float = 0.0) -> list[float]:
    """Returns the shares of guidance's scale in `count` iterations, from 0 to 1.

    All but 'constant' rise from 0 in the first iteration to 1 in the last: 'linear' is that of the
    sampler by confidence in valeoai/Halton-MaskGIT. 'powcosine<exponent>', the one of
    bytedance/1d-tokenizer, reaches 1 only after the last: in iteration t it is that of cosine at
    the progress (t / T) ** exponent. 'ramp', of the same sampler, is t / T.

    Args:
      count: T.
      schedule: 'constant', 'linear', 'ramp', 'cosine' (slow at both ends), 'pow<exponent>' or
        'powcosine<exponent>'.
      start: share of the iterations that come first and have none.

    Raises:
      ValueError: an unknown schedule.
    """
    if not _is_rise(schedule):
        raise ValueError(f"Guidance schedule {schedule!r} is not known; use {_RISES}.")
    if power := _POWER_COSINE.fullmatch(schedule):
        shares = [_rise((t / count) ** float(power[1]), "cosine") for t in range(count)]
    elif schedule == "ramp":
        shares = [t / count for t in range(count)]
    else:
        shares = [_rise(t / (count - 1) if count > 1 else 1.0, schedule) for t in range(count)]
    # Shares such as 7 / 25 are rounded: they must not count an iteration more.
    first = start * count * (1 - 1e-9)
    return [share if t >= first else 0.0 for t, share in enumerate(shares)]


def guidance_requirement(name: str) -> Requirement:
    """Returns the requirement of a decoder's field `guidance_schedule`."""
    return "guidance_schedule", _is_rise(name), _RISES


def _is_rise(name: str) -> bool:
    if power := _POWER.fullmatch(name) or _POWER_COSINE.fullmatch(name):
        return float(power[1]) in _EXPONENT
    return name in ("constant", "linear", "ramp", "cosine")


def _rise(progress: float, schedule: str) -> float:
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return progress
    if schedule == "cosine":
        return (1.0 - math.cos(math.pi * progress)) / 2.0
    return progress ** float(schedule.removeprefix("pow"))


def remaining(num_iterations: int) -> np.ndarray:
    """Returns the share of the iterations that is left after each, float64 (T,): falls to 0."""
    return 1.0 - np.arange(1, num_iterations + 1) / num_iterations
