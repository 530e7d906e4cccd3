"""Batches of arrays that several processes make together, through files in a folder that all see.

Each process makes its share of the batches, and writes each of them to a file. One process then
reads the files in order, and has what one process alone would have made, to the last digit. A
killed job resumes at the batches that have no file, also on another number of processes.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from etils import epath

from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.machine.array_files import DamagedError, read_npz
from vpt_gen.machine.files import written_whole
from vpt_gen.machine.progress import say

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class SharedBatches:
    """The files of some batches, one per batch.

    Attributes:
      folder: that all processes see under this path; only they write to it. Its name depends on
        everything that determines the content of its files.
      count: number of batches.
    """

    folder: epath.Path
    count: int

    def make(self, name: str, make: Callable[[np.ndarray], Iterable[Arrays]]) -> None:
        """Makes the batches that have no file; all processes call this together.

        Args:
          name: what they are, for messages.
          make: numbers of batches (m,), ascending -> each of them, in that order.
        """
        there = {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()
        done = np.array([_file(number) in there for number in range(self.count)], bool)
        done = distributed.first_tells(done)
        if done.any():
            say(f"{done.sum()} of {self.count} batches of {name} are in {self.folder}.")
        own = distributed.share_of(np.flatnonzero(~done))
        for number, arrays in zip(own, make(own), strict=True):
            with written_whole(self.folder / _file(number)) as partial, partial.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type] # Names of ours.
        distributed.wait_long()

    def read(self) -> Iterator[Arrays]:
        """Yields all batches in order, after `make`.

        Raises:
          UserError: a file that is damaged or missing.
        """
        for number in range(self.count):
            path = self.folder / _file(number)
            try:
                yield read_npz(path)
            except (OSError, DamagedError) as error:
                raise UserError(
                    f"{path} cannot be read ({error}): delete it, if it exists, and give the same "
                    "command again."
                ) from error


def _file(number: int) -> str:
    return f"{number:06d}.npz"
