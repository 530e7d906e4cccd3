"""Features that several processes extract together, through files in a folder that all see.

Each process extracts its share of the batches that one process would make, and writes each of them
to a file. The first process then reads the files in order. All sums are therefore computed in the
order of one process, and all metrics are equal to the last digit. A killed job resumes at the
batches that have no file, also on another number of processes.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from vpt_gen.data.source import digest_of
from vpt_gen.errors import UserError
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.image_sets import ImageSet, tapped
from vpt_gen.machine import distributed
from vpt_gen.machine.array_files import DamagedError, read_npz
from vpt_gen.machine.files import written_whole
from vpt_gen.machine.progress import say, track

_PICTURE = "picture/"


@dataclasses.dataclass(frozen=True)
class SharedFeatures:
    """The files of all sets of images, one folder per set.

    Attributes:
      folder: that all processes see under this path; only they write to it.
    """

    folder: epath.Path

    def extract(self, extractor: Extractor, images: ImageSet, pictured: np.ndarray) -> None:
        """Extracts the features of a set; all processes call this together.

        Args:
          extractor: on devices of this process, with the same batch size in all.
          images: the set; its stream takes `wanted`.
          pictured: (n,) bool, the images that are kept themselves, too.
        """
        folder = self._folder_of(extractor, images, pictured)
        numbers = np.arange(len(images)) // extractor.batch_size
        there = {path.name for path in folder.iterdir()} if folder.exists() else set()
        done = np.array([_file(k) in there for k in range(_num_batches(extractor, images))], bool)
        done = distributed.first_tells(done)
        if done.any():
            say(f"{done.sum()} of {len(done)} batches of {images} are in {folder}.")
        own = distributed.share_of(np.flatnonzero(~done))
        wanted = np.isin(numbers, own)
        kept: list[np.ndarray] = []
        stream = tapped(images.stream(wanted), pictured[wanted], kept) if len(own) else iter(())
        label = f"{images.name}, {extractor.space.name} features"
        with track(total=int(wanted.sum()), label=label) as bar:
            for number, rows in zip(own, extractor.stream(stream), strict=True):
                shown = np.flatnonzero(pictured & (numbers == number)).tolist()
                pictures: dict[str, Any] = {f"{_PICTURE}{row}": kept.pop(0) for row in shown}
                path = folder / _file(number)
                with written_whole(path) as partial, partial.open("wb") as file:
                    np.savez(file, **(pictures | rows))
                bar.update(np.count_nonzero(numbers == number))
        distributed.wait_long()

    def read(
        self,
        extractor: Extractor,
        images: ImageSet,
        pictured: np.ndarray,
        pictures: list[np.ndarray],
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields what `extractor.stream` would, from the files of `extract`.

        Args:
          extractor: that of `extract`, also the following two.
          images: the set.
          pictured: (n,) bool, the images that are kept.
          pictures: gets these images, in order.

        Raises:
          UserError: a file that is damaged or missing.
        """
        folder = self._folder_of(extractor, images, pictured)
        for number in range(_num_batches(extractor, images)):
            try:
                arrays = read_npz(folder / _file(number))
            except (OSError, DamagedError) as error:
                raise UserError(
                    f"{folder / _file(number)} cannot be read ({error}): delete it, if it exists, "
                    "and give the same command again."
                ) from error
            pictures += [x for name, x in arrays.items() if name.startswith(_PICTURE)]
            yield {n: rows for n, rows in arrays.items() if not n.startswith(_PICTURE)}

    def remove(self) -> None:
        """Removes all files; no process needs them any more."""
        if self.folder.exists():
            self.folder.rmtree()

    def _folder_of(
        self, extractor: Extractor, images: ImageSet, pictured: np.ndarray
    ) -> epath.Path:
        """The folder of a set depends on everything that determines the content of its files."""
        space = extractor.space
        images_of = images.digest, json.dumps(images.record, sort_keys=True), images.labels
        space_of = space.name, space.digest, space.resize, str(extractor.batch_size)
        return self.folder / digest_of(*images_of, *space_of, pictured)[:32]


def _num_batches(extractor: Extractor, images: ImageSet) -> int:
    return -(-len(images) // extractor.batch_size)


def _file(number: int) -> str:
    return f"{number:06d}.npz"
