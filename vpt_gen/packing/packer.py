"""Collects the pictures of a source data set, without near duplicates, and packs them into an .npz.

The .npz holds `images` uint8 (n, 64, 64) or (n, 64, 64, 3); `labels` int32 (n,); `class_names`
(C,); `sources` (n,), the name of each picture's archive; `paths` (n,), its path there; and
`record`, JSON: the archives' SHA-256, and what was kept, dropped and damaged.
"""

import collections
import importlib.metadata
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.machine.files import json_text, written_whole
from vpt_gen.machine.progress import say
from vpt_gen.packing.archives import reading, record_of

SIZE = 64  # side of a packed picture, in pixels
MAX_PIXELS = 8e6  # larger pictures are skipped: they take minutes and are a dozen barcodes


class Rules(Protocol):
    """Rules for pictures, by their archive and their path there."""

    def why_excluded(self, source: str, path: str) -> str | None:
        """Returns why a picture is excluded, or None."""

    def class_of(self, source: str, path: str) -> str:
        """Returns the name of its class."""

    def series_and_cap(self, source: str, path: str) -> tuple[str, float]:
        """Returns its series of similar pictures, and how many of it are kept."""


class Packer:
    """Collects the pictures to keep and counts the reasons for dropping the others."""

    def __init__(self, draw: Callable[..., np.ndarray | str], rules: Rules):
        """Keeps nothing yet.

        Args:
          draw: PNG bytes, or what a reader yields instead -> uint8 (SIZE, SIZE) or
            (SIZE, SIZE, 3), or a str: why not. It raises OSError, ValueError or SyntaxError for a
            damaged file, like Pillow.
          rules: a module `*_rules`.
        """
        self.kept: list[tuple[str, str, np.ndarray]] = []  # source, path, image
        self.broken: list[str] = []  # paths
        self.dropped: collections.Counter[str] = collections.Counter()
        self._draw, self._rules = draw, rules
        self._hashes: set[bytes] = set()
        self._series: collections.Counter[str] = collections.Counter()
        self._seen = 0

    def add_all(
        self,
        archives: Mapping[str, pathlib.Path],
        readers: Mapping[str, Callable[[pathlib.Path], Iterable]],
    ) -> None:
        """Adds all pictures of archives; a reader yields (path, picture) of its archive.

        Raises:
          UserError: a damaged archive, or nothing to keep in all of them.
        """
        for source, archive in archives.items():
            with reading(archive):
                for path, picture in readers[source](archive):
                    self.add(source, path, picture)
        if not self.kept:
            folders = " and ".join(sorted({str(path.parent) for path in archives.values()}))
            raise UserError(f"{folders} holds no usable picture; fetch the archives again.")

    def add(self, source: str, path: str, picture) -> None:
        """Keeps a picture, or counts why it is dropped."""
        self._seen += 1
        if self._seen % 1000 == 0:
            say(f"{self._seen} pictures read, {len(self.kept)} kept")
        why = self._rules.why_excluded(source, path) or self._draw_and_keep(source, path, picture)
        if why:
            self.dropped[f"{source}: {why}"] += 1

    def _draw_and_keep(self, source, path, picture):
        """Draws and keeps a picture; returns why it is dropped instead, or None."""
        try:
            if isinstance(picture, bytes) and num_pixels(picture) > MAX_PIXELS:
                return "too many pixels"
            image = self._draw(picture)
        except (OSError, ValueError, SyntaxError):
            self.broken.append(f"{source}/{path}")
            return "broken file"
        return image if isinstance(image, str) else self._keep(source, path, image)

    def _keep(self, source, path, image):
        mark = average_hash(image)
        series, cap = self._rules.series_and_cap(source, path)
        if mark in self._hashes:
            return "near duplicate"
        if self._series[series] >= cap:
            return "series beyond its cap"
        self._hashes.add(mark)
        self._series[series] += 1
        self.kept.append((source, path, image))
        return None

    def record(self) -> dict:
        """Returns counts of kept and dropped pictures per archive, reasons, and damaged files."""
        return {
            "kept": collections.Counter(source for source, _, _ in self.kept),
            "dropped": self.dropped,
            "broken": self.broken,
        }

    def save(
        self, archives: Mapping[str, pathlib.Path], output: str, made_with: Sequence[str]
    ) -> None:
        """Writes the .npz (see the head of this file), and prints what was kept and dropped.

        Args:
          archives: of the pictures.
          output: file to write.
          made_with: packages whose versions affect the pictures.
        """
        sources, paths, images = zip(*self.kept, strict=True)
        class_names, labels = np.unique(
            [self._rules.class_of(s, path) for s, path in zip(sources, paths, strict=True)],
            return_inverse=True,
        )
        record = {
            "archives": record_of(archives),
            **self.record(),
            "made_with": {name: importlib.metadata.version(name) for name in made_with},
        }
        with written_whole(pathlib.Path(output)) as partial, open(partial, "wb") as file:
            np.savez_compressed(
                file,
                images=np.stack(images),
                labels=labels.astype(np.int32),
                class_names=class_names,
                sources=np.array(sources),
                paths=np.array(paths),
                record=json_text(record),
            )
        for reason, count in sorted(self.dropped.items()):
            say(f"dropped {count:5d}  {reason}")
        say(f"Wrote {len(images)} pictures of {len(class_names)} classes to {output}.")


def num_pixels(picture: bytes) -> int:
    """Returns the number of pixels in the header of a PNG."""
    return int.from_bytes(picture[16:20]) * int.from_bytes(picture[20:24])


def average_hash(image: np.ndarray) -> bytes:
    """Returns a hash of a picture: cells of a 16x16 grid above their mean, and the mean color.

    Args:
      image: uint8 (SIZE, SIZE) or (SIZE, SIZE, 3).
    """
    gray = image if image.ndim == 2 else image.mean(axis=-1)
    cells = gray.reshape(16, SIZE // 16, 16, SIZE // 16).mean(axis=(1, 3))
    shape = np.packbits(cells > cells.mean()).tobytes()
    if image.ndim == 2:
        return shape
    return shape + (image.mean(axis=(0, 1)) // 16).astype(np.uint8).tobytes()
