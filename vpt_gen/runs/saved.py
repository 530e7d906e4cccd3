"""Samples as a folder of PNG files or TAR shards, with their generation record."""

import collections
import io
import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from vpt_gen.data import sampled, shards
from vpt_gen.images import grids
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.files import cut
from vpt_gen.machine.manifest import Manifest
from vpt_gen.machine.progress import say, track
from vpt_gen.runs.generation import Generation, digest_of_request
from vpt_gen.runs.orders import RevealOrders
from vpt_gen.runs.together import Drawing, draw_together

# Limits of the picture of all samples, so that it fits in memory.
GRID_COLUMNS, GRID_CLASSES = 10, 100
# Bytes of a class in a file's name: with number, extension and what a partial file adds, the name
# fits into the 143 bytes of encrypted folders, too.
_STEM_BYTES = 100


def file_stems(class_names: list[str]) -> list[str]:
    """Returns a file name for each class, which every file system can tell from the others.

    Special characters, and those that the locale cannot spell, become "_"; long names are cut.
    """
    stems = [cut(_spelled(name), _STEM_BYTES) for name in class_names]
    # Some file systems take names for equal that differ in case or in how accents are composed.
    if len({unicodedata.normalize("NFC", stem.casefold()) for stem in stems}) < len(stems):
        return [cut(f"{number:04d}_{stem}", _STEM_BYTES) for number, stem in enumerate(stems)]
    return stems


def _spelled(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    return "".join(x if x in "-_" or (x.isalnum() and _has_bytes(x)) else "_" for x in composed)


def _has_bytes(character: str) -> bool:
    try:
        return bool(os.fsencode(character))
    except UnicodeEncodeError:
        return False


def file_names(class_ids: np.ndarray, class_names: list[str]) -> list[str]:
    """Returns `<class>_<number>.png` for every image."""
    stems = file_stems(class_names)
    numbers: collections.Counter = collections.Counter()
    names = []
    for c in class_ids.tolist():
        names.append(f"{stems[c]}_{numbers[c]:04d}.png")
        numbers[c] += 1
    return names


def save_images(
    stream: Callable[[np.ndarray], Iterator[np.ndarray]],
    at_a_time: int,
    class_ids: np.ndarray,
    class_names: list[str],
    folder: epath.Path,
    record: dict[str, Any],
    flag: str,
    show: Callable[[np.ndarray], None],
) -> None:
    """Draws images and writes a PNG for each, and a picture; all processes call this together.

    `samples.json` keeps the classes and the generation record, for measuring the folder
    (`data/sampled.py`). If the same images were interrupted in this folder, they resume.

    Args:
      stream: (n,) bool -> the images that it marks (b, H, W, 3) in [0, 1], batch by batch, see
        `Drawing`.
      at_a_time: images of a batch.
      class_ids: (n,) of the images.
      class_names: of all classes.
      folder: for the images.
      record: everything that determines the images, for JSON.
      flag: that names the folder, for messages.
      show: writes the picture of the first images, uint8, somewhere else.

    Raises:
      UserError: a file of somebody else would be replaced; nothing is drawn or written.
    """
    names = file_names(class_ids, class_names)
    request = digest_of_request(record, class_ids.tolist(), class_names)

    def rounded(wanted: np.ndarray) -> Iterator[np.ndarray]:
        return map(to_uint8, stream(wanted))

    def finish(manifest: Manifest) -> None:
        show(_grid(folder, names, class_ids, class_names))
        _finish(manifest, folder, names, class_ids, class_names, record)

    draw_together(
        Drawing(names, class_ids, at_a_time, rounded, request),
        folder / sampled.FILE,
        lambda: sampled.open_manifest(folder, names, request, flag),
        finish,
    )


def save_generation(
    generation: Generation, folder: epath.Path, trace: bool = False, shard_size: int = 0
) -> None:
    """Draws images and writes those of each batch before the next is drawn, then `grid.png`.

    The record is written last. If the same request was interrupted in this folder, it resumes:
    existing images are not drawn again. A request is everything that determines the images.
    Several processes call this together (`runs/together.py`).

    Args:
      generation: what to draw.
      folder: for the images.
      trace: also write `trace.png`, the order of tokens in the first images; in one process, and
        without shards.
      shard_size: images per TAR shard; 0 writes a PNG for each image.

    Raises:
      UserError: a file of somebody else would be replaced; nothing is drawn or written.
    """
    class_ids, class_names = generation.class_ids, list(generation.run.facts["class_names"])
    record, names = generation.record(), file_names(generation.class_ids, class_names)
    if shard_size:
        names = shards.names_of(len(names), shard_size)
    pictures = sampled.PICTURES if trace else sampled.PICTURES[:1]
    orders = RevealOrders(folder) if trace else None

    def stream(wanted: np.ndarray) -> Iterator[np.ndarray]:
        with track(total=int(wanted.sum()), label="sampling") as bar:
            for batch in generation.batches(wanted):
                if orders:  # First, so that no image lacks its order.
                    orders.add(batch.revealed_at)
                yield to_uint8(batch.images)
                bar.update(len(batch.images))

    def finish(manifest: Manifest) -> None:
        drawn = [_grid(folder, names, class_ids, class_names)]
        if orders:
            first = read_images(folder, names[: orders.count])
            drawn.append(orders.picture(first, generation.run.sampler.token_grid))
        manifest.write(dict(zip(pictures, map(grids.as_png, drawn), strict=True)))
        _finish(manifest, folder, names, class_ids, class_names, record)
        if orders:
            orders.remove()

    request = digest_of_request(generation.digest(), trace, shard_size)
    at_a_time = generation.run.sampler.images_at_a_time
    drawing = Drawing(names, class_ids, at_a_time, stream, request)
    draw_together(
        drawing,
        folder / sampled.FILE,
        lambda: sampled.open_manifest(folder, [*drawing.files, *pictures], request),
        finish,
        orders.resume if orders else lambda done: done,
    )


def read_images(folder: epath.Path, names: Sequence[str]) -> np.ndarray:
    """Reads written images of one size (n, H, W, 3) in [0, 1]."""
    return np.stack(read_each(folder, names)) / np.float32(255.0)


def read_each(folder: epath.Path, names: Sequence[str]) -> list[np.ndarray]:
    """Reads written images, uint8 (H, W, 3) of any size."""
    contents = map(io.BytesIO, shards.read_images(folder, names))
    return [np.asarray(Image.open(content).convert("RGB")) for content in contents]


def _grid(
    folder: epath.Path, names: Sequence[str], class_ids: np.ndarray, class_names: list[str]
) -> np.ndarray:
    """Returns the picture of the first images of the first classes."""
    shown = [
        np.flatnonzero(class_ids == c)[:GRID_COLUMNS] for c in np.unique(class_ids)[:GRID_CLASSES]
    ]
    rows = np.concatenate(shown)
    images = read_images(folder, [names[row] for row in rows])
    return grids.class_grid(images, class_ids[rows], class_names, GRID_COLUMNS)


def _finish(manifest: Manifest, folder, names, class_ids, class_names, record) -> None:
    classes = [class_names[c] for c in class_ids.tolist()]
    sampled.finish(manifest, dict(zip(names, classes, strict=True)), record)
    found = itertools.chain(folder.glob("*.png"), folder.glob(f"*{shards.EXTENSION}"))
    others = {path.name for path in found} - {*map(shards.file_of, names), *sampled.PICTURES}
    if others:
        say(f"Note: {folder} also holds {len(others)} other images or shards.")
