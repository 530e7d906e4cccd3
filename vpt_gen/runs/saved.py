"""Samples as a folder of PNG files, written batch by batch, with a record of how they were made.

`samples.json` (`data/sampled.py`) comes last: a folder that has it holds all of its images. Until
then `.sampling.json` says what is being drawn, and how much of it is done, so that the same call
goes on where it was interrupted.
"""

import collections
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from etils import epath

from vpt_gen.data import sampled
from vpt_gen.images import codec, grids
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say

PROGRESS = ".sampling.json"
_PICTURES = {"grid.png", "trace.png"}  # of the folder as a whole


def file_stems(class_names: Sequence[str]) -> list[str]:
    """A file name for each class, without what file systems mind; no two are the same."""
    stems = ["".join(x if x.isalnum() or x in "-_" else "_" for x in name) for name in class_names]
    if len({stem.lower() for stem in stems}) < len(stems):
        return [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
    return stems


def file_names(class_ids: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """`<class>_<number>.png` for every image of classes (n,)."""
    stems, numbers = file_stems(class_names), collections.Counter()
    names = []
    for c in class_ids.tolist():
        names.append(f"{stems[c]}_{numbers[c]:04d}.png")
        numbers[c] += 1
    return names


@dataclasses.dataclass(frozen=True)
class SampleFolder:
    """n images on their way into a folder.

    Attributes:
      path: of the folder.
      class_ids: (n,) the class of each image.
      class_names: names of all classes.
      record: of the generation, for whoever measures the folder.
      conditions: (n, ...) what else tells the images from those of another call.
    """

    path: epath.Path
    class_ids: np.ndarray
    class_names: Sequence[str]
    record: dict[str, Any]
    conditions: np.ndarray

    @functools.cached_property
    def names(self) -> list[str]:
        return file_names(self.class_ids, self.class_names)

    def begin(self) -> int:
        """Notes what is going to be drawn; the number of images that an earlier call has left.

        Images of another call are not counted, whatever their names.
        """
        progress = self.path / PROGRESS
        found = json.loads(progress.read_text()) if progress.is_file() else {}
        if found.get("request") == self._request:
            return found["done"]
        self.begin_anew()
        return 0

    def begin_anew(self) -> None:
        """Notes what is going to be drawn, and that nothing of it is there."""
        # The note of an older call would vouch for images that are about to be replaced.
        (self.path / sampled.FILE).unlink(missing_ok=True)
        self._note(0)

    def add(self, start: int, images: np.ndarray) -> None:
        """Writes images (B, H, W, 3) in [0, 1], those from number `start` on."""
        names = self.names[start : start + len(images)]
        for name, image in zip(names, codec.to_uint8(images), strict=True):
            grids.save_png(self.path / name, image)
        self._note(start + len(images))

    def finish(self) -> None:
        """Writes the record, and says what else lies in the folder."""
        classes = [self.class_names[c] for c in self.class_ids.tolist()]
        names = self.names
        sampled.write(self.path, dict(zip(names, classes, strict=True)), self.record)
        (self.path / PROGRESS).unlink()
        older = {path.name for path in self.path.glob("*.png")} - _PICTURES - set(names)
        if older:
            say(f"Note: {self.path} also holds {len(older)} images that are not of this call.")

    def first_of_each(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first images of each class, (m, H, W, 3) in [0, 1], and their classes (m,)."""
        seen: collections.Counter = collections.Counter()
        chosen = []
        for number, c in enumerate(self.class_ids.tolist()):
            seen[c] += 1
            if seen[c] <= count:
                chosen.append(number)
        return self.images(chosen), self.class_ids[chosen]

    def images(self, numbers: Iterable[int]) -> np.ndarray:
        """Some images as they lie in the folder, (m, H, W, 3) in [0, 1]."""
        files = [self.path / self.names[number] for number in numbers]
        return np.stack([codec.decode(file.read_bytes()) for file in files]) / np.float32(255.0)

    @functools.cached_property
    def _request(self) -> str:
        """A digest of all that decides what the images are and how they are called."""
        told = json.dumps([self.record, self.class_ids.tolist(), list(self.class_names)])
        digest = hashlib.sha256(told.encode())
        digest.update(np.ascontiguousarray(self.conditions).tobytes())
        return digest.hexdigest()

    def _note(self, done: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        note = {"request": self._request, "done": done}
        write_text(self.path / PROGRESS, json.dumps(note))
