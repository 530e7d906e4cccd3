"""Checks whether a file's tensors are a net's: one error lists all differences.

A reader takes the architecture from the shapes of a few tensors (`require`), builds the shapes of
such a net (`expect`), gives them the file's names, and compares the two (`check`).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from vpt_gen.errors import UserError
from vpt_gen.nets.stack import init_shapes

# Our names of what enters attention, in the order of files that join their matrices.
INPUTS = ("query", "key", "value")
_MOST_LISTED = 10
_MOST_LAYERS = 1000

Shapes = Mapping[str, tuple[int, ...]]


def param_shapes(net: nn.Module, *inputs: Any, **kwargs: Any) -> dict[str, tuple[int, ...]]:
    """Returns {path with slashes: shape} of a net's parameters, without allocating any."""
    made = init_shapes(net, *inputs, **kwargs)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(made, sep="/").items()}


def image_batch(side: int) -> jax.ShapeDtypeStruct:
    """Returns the smallest image batch, for `param_shapes` of tokenizers."""
    return jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)


def token_batch(*shape: int) -> jax.ShapeDtypeStruct:
    """Returns tokens or classes of a shape, for `param_shapes` of transformers."""
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def require(path: Any, what: str, found: Shapes, ranks: Mapping[str, int]) -> None:
    """Raises UserError unless the tensors that define the architecture exist, with their axes.

    Args:
      path: the file.
      what: the net that it should hold.
      found: the shapes of the file's tensors.
      ranks: {name of a tensor that is needed: its number of axes}.
    """
    problems = [
        f"{name} has shape {found[name]}, not {rank} axes" if name in found else f"missing {name}"
        for name, rank in ranks.items()
        if name not in found or len(found[name]) != rank or 0 in found[name]
    ]
    if problems:
        holds = _listed([f"{name} {shape}" for name, shape in found.items()], 3) or "nothing of it"
        raise UserError(f"{path} is not a {what}: {_listed(problems)}. It holds {holds}.")


@contextlib.contextmanager
def expect(path: Any, what: str) -> Iterator[None]:
    """Context that builds the net of a file's shapes; turns its errors into UserError."""
    try:
        yield
    # Flax, JAX and NumPy raise many errors for sizes that do not fit together.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} is not a {what}: its tensors' sizes do not fit together ({reason})."
        ) from error


def check(path: Any, found: Shapes, expected: Shapes) -> None:
    """Raises one UserError that lists missing, unknown and misshapen tensors."""
    problems = [
        *(f"missing {name} {expected[name]}" for name in expected if name not in found),
        *(f"unknown {name} {found[name]}" for name in found if name not in expected),
        *(
            f"{name} has shape {found[name]}, not {expected[name]}"
            for name in expected
            if name in found and tuple(found[name]) != tuple(expected[name])
        ),
    ]
    if problems:
        raise UserError(f"{path} does not hold the net it should: {_listed(problems)}.")


def _listed(entries: Sequence[str], most: int = _MOST_LISTED) -> str:
    more = len(entries) - most
    return "; ".join(entries[:most]) + (f"; and {more} more" if more > 0 else "")


def count(is_there: Callable[[int], bool]) -> int:
    """Returns the first number, from 0, for which `is_there` is false; at most `_MOST_LAYERS`.

    A file of a million names would otherwise be asked a million times about each of them.
    """
    numbers = range(_MOST_LAYERS)
    return next((number for number in numbers if not is_there(number)), _MOST_LAYERS)


def part_of_inputs(name: str, width: int) -> slice:
    """Returns the rows of one of attention's `INPUTS` in a file's matrix of all three."""
    start = INPUTS.index(name) * width
    return slice(start, start + width)


def torch_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns torch's shape of one of our parameters in a transformer.

    Matrices are (out, in), with the heads in the width, as in biases; all others stay.

    Args:
      path: of the parameter, with slashes; the one from heads is called "projection" or "out".
      shape: ours.
    """
    if path.endswith("/bias"):
        return (math.prod(shape),)
    if not path.endswith("/kernel"):
        return shape
    inputs = 2 if path.endswith(("/projection/kernel", "/out/kernel")) else 1
    return (math.prod(shape[inputs:]), math.prod(shape[:inputs]))


def from_torch(path: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `torch_shape`, for values."""
    return (values.T if path.endswith("/kernel") else values).reshape(shape)


def floats(path: Any, name: str, values: np.ndarray) -> np.ndarray:
    """Copies a tensor's values as float32.

    Raises:
      UserError: they are not floating-point numbers.
    """
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise UserError(f"{path}: {name} holds {values.dtype}, not floating-point numbers.")
    return np.array(values, np.float32)


def nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{path with slashes: array} -> nested parameters."""
    return traverse_util.unflatten_dict(dict(flat), sep="/")
