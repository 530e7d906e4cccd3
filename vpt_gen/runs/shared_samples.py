"""Samples that several processes draw together, for a program that keeps them in memory.

Images of a folder are drawn by `runs/together.py` instead.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from etils import epath

from vpt_gen.data.source import digest_of
from vpt_gen.machine.progress import track
from vpt_gen.machine.shared_batches import Arrays, SharedBatches
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.samples import Samples, joined


@dataclasses.dataclass(frozen=True)
class SharedSamples:
    """The files of several generations, one folder per generation.

    Attributes:
      folder: that all processes see under this path; only they write to it.
    """

    folder: epath.Path

    def draw(self, generation: Generation) -> None:
        """Draws images; all processes call this together, each on devices of its own."""
        numbers = np.arange(len(generation.bank)) // generation.run.sampler.images_at_a_time

        def batches(own: np.ndarray) -> Iterator[Arrays]:
            wanted = np.isin(numbers, own)
            with track(total=int(wanted.sum()), label="sampling") as bar:
                for samples in generation.batches(wanted):
                    yield vars(samples)
                    bar.update(len(samples.images))

        self._batches(generation).make("images", batches)

    def read(self, generation: Generation) -> Samples:
        """Returns the images that `draw` drew.

        Raises:
          UserError: a file that is damaged or missing.
        """
        return joined([Samples(**arrays) for arrays in self._batches(generation).read()])

    def remove(self) -> None:
        """Removes all files; no process needs them any more."""
        if self.folder.exists():
            self.folder.rmtree()

    def _batches(self, generation: Generation) -> SharedBatches:
        size = generation.run.sampler.images_at_a_time
        name = digest_of(generation.digest(), str(size))[:32]
        return SharedBatches(self.folder / name, -(-len(generation.bank) // size))
