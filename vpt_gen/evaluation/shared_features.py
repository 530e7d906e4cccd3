"""Features that several processes extract together (`machine/shared_batches.py`).

The first process reads the batches in the order of one process, so that all sums are computed in
that order, and all metrics are equal to the last digit.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from vpt_gen.data.source import digest_of
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.image_sets import ImageSet, tapped
from vpt_gen.machine.progress import track
from vpt_gen.machine.shared_batches import Arrays, SharedBatches

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
        numbers = np.arange(len(images)) // extractor.batch_size

        def batches(own: np.ndarray) -> Iterator[Arrays]:
            wanted = np.isin(numbers, own)
            kept: list[np.ndarray] = []
            stream = tapped(images.stream(wanted), pictured[wanted], kept) if len(own) else iter(())
            label = f"{images.name}, {extractor.space.name} features"
            with track(total=int(wanted.sum()), label=label) as bar:
                for number, rows in zip(own, extractor.stream(stream), strict=True):
                    shown = np.flatnonzero(pictured & (numbers == number)).tolist()
                    pictures: dict[str, Any] = {f"{_PICTURE}{row}": kept.pop(0) for row in shown}
                    yield pictures | rows
                    bar.update(np.count_nonzero(numbers == number))

        self._batches(extractor, images, pictured).make(str(images), batches)

    def read(
        self,
        extractor: Extractor,
        images: ImageSet,
        pictured: np.ndarray,
        pictures: list[np.ndarray],
    ) -> Iterator[Arrays]:
        """Yields what `extractor.stream` would, from the files of `extract`.

        Args:
          extractor: that of `extract`, also the following two.
          images: the set.
          pictured: (n,) bool, the images that are kept.
          pictures: gets these images, in order.

        Raises:
          UserError: a file that is damaged or missing.
        """
        for arrays in self._batches(extractor, images, pictured).read():
            pictures += [x for name, x in arrays.items() if name.startswith(_PICTURE)]
            yield {n: rows for n, rows in arrays.items() if not n.startswith(_PICTURE)}

    def remove(self) -> None:
        """Removes all files; no process needs them any more."""
        if self.folder.exists():
            self.folder.rmtree()

    def _batches(
        self, extractor: Extractor, images: ImageSet, pictured: np.ndarray
    ) -> SharedBatches:
        """The folder of a set depends on everything that determines the content of its files."""
        space = extractor.space
        images_of = images.digest, json.dumps(images.record, sort_keys=True), images.labels
        space_of = space.name, space.digest, space.resize, str(extractor.batch_size)
        name = digest_of(*images_of, *space_of, pictured)[:32]
        return SharedBatches(self.folder / name, -(-len(images) // extractor.batch_size))
