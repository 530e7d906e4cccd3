"""Arrays that are kept between runs and can be made again: a damaged file only costs time."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from vpt_gen.machine.array_files import read_npz
from vpt_gen.machine.files import written_whole
from vpt_gen.machine.progress import say

Result = TypeVar("Result")


def load(
    path: pathlib.Path, what: str, parse: Callable[[dict[str, np.ndarray]], Result]
) -> Result | None:
    """Reads a file of `save`; None, and a message if it is damaged, if it must be made again.

    Args:
      path: of the file.
      what: its content, in the plural, for the message.
      parse: arrays -> the result; any error means that they are damaged.
    """
    if not path.is_file():
        return None
    try:
        return parse(read_npz(path))
    except (OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        say(f"The {what} {path} are damaged ({reason}); they are made again.")
        return None


def save(
    path: pathlib.Path, arrays: Mapping[str, Any], failure: str, compressed: bool = False
) -> None:
    """Writes arrays; if the file cannot be written, says so and goes on.

    Args:
      path: of the file.
      arrays: by name.
      failure: what then cannot be done, for the message.
      compressed: whether to compress them.
    """
    write = np.savez_compressed if compressed else np.savez
    try:
        with written_whole(path) as partial, open(partial, "wb") as file:
            write(file, **arrays)
    except OSError as error:
        say(f"{failure}: {error.strerror or error}.")
