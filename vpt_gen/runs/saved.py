"""Samples as a folder of PNG files, with their generation record."""

import collections
import hashlib
import itertools
import json
import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from vpt_gen.data import sampled
from vpt_gen.images import grids
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.array_files import DamagedError, open_npy
from vpt_gen.machine.files import cut, written_whole
from vpt_gen.machine.manifest import Manifest
from vpt_gen.machine.progress import say, track
from vpt_gen.runs.generation import Generation

# Limits of the pictures of all samples, so that they fit in memory.
GRID_COLUMNS, GRID_CLASSES = 10, 100
TRACE_IMAGES = 400
# Bytes of a class in a file's name: with number, extension and what a partial file adds, the name
# fits into the 143 bytes of encrypted folders, too.
_STEM_BYTES = 100
# File of the traced orders, until the picture is drawn.
_ORDERS = ".revealed_at.npy"


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
    images: np.ndarray,
    class_ids: np.ndarray,
    class_names: list[str],
    folder: epath.Path,
    record: dict[str, Any],
) -> None:
    """Writes a PNG for every image; reports other images in the folder.

    `samples.json` keeps the classes and the generation record, for measuring the folder
    (`data/sampled.py`).

    Raises:
      UserError: a file of somebody else would be replaced.
    """
    names = file_names(class_ids, class_names)
    manifest = sampled.open_manifest(folder, names)
    manifest.begin()
    _write(manifest, names, images)
    _finish(manifest, folder, names, class_ids, class_names, record)


def save_generation(generation: Generation, folder: epath.Path, trace: bool = False) -> None:
    """Draws images and writes those of each batch before the next is drawn, then `grid.png`.

    The record is written last. If the same request was interrupted in this folder, it resumes:
    existing images are not drawn again. A request is everything that determines the images.

    Args:
      generation: what to draw.
      folder: for the images.
      trace: also write `trace.png`, the order of tokens in the first images.

    Raises:
      UserError: a file of somebody else would be replaced; nothing is drawn or written.
    """
    class_ids, class_names = generation.class_ids, list(generation.run.facts["class_names"])
    record, names = generation.record(), file_names(generation.class_ids, class_names)
    pictures = sampled.PICTURES if trace else sampled.PICTURES[:1]
    manifest = sampled.open_manifest(
        folder, [*names, *pictures], _digest(generation, record, trace)
    )
    done = len(list(itertools.takewhile(manifest.done.__contains__, names)))
    orders = _read_orders(folder, done) if trace else None
    if trace and done and orders is None:
        done = 0
    manifest.begin()
    if done:
        say(f"{done} of {len(names)} images are in {folder}; drawing the rest.")
    with track(total=len(names), initial=done, label="sampling") as bar:
        for batch in generation.batches(done):
            count = len(batch.images)
            if trace and done < TRACE_IMAGES:  # First, so that no image lacks its order.
                orders = _add_orders(folder, orders, batch.revealed_at)
            _write(manifest, names[done : done + count], batch.images)
            done += count
            bar.update(count)
    grid, *traced = pictures
    manifest.write({grid: grids.as_png(_grid(folder, names, class_ids, class_names))})
    for picture in traced:
        assert orders is not None  # Of the first batch, drawn now or before.
        images = _read(folder, names[: len(orders)])
        grid_of_tokens = generation.run.sampler.token_grid
        manifest.write({picture: grids.as_png(grids.trace_grid(images, orders, grid_of_tokens))})
    _finish(manifest, folder, names, class_ids, class_names, record)
    (folder / _ORDERS).unlink(missing_ok=True)


def _digest(generation: Generation, record: dict[str, Any], trace: bool) -> str:
    """Returns the digest of a request, equal for two that make the same files."""
    weights = None if generation.weights is None else generation.weights.tolist()
    names = list(generation.run.facts["class_names"])
    request = [record, generation.bank.tolist(), weights, names, trace]
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _write(manifest: Manifest, names: Sequence[str], images: np.ndarray) -> None:
    # Compression takes longer than drawing with small nets, and releases Python's lock.
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(grids.as_png, to_uint8(images)))
    manifest.write(dict(zip(names, files, strict=True)))


def _read(folder: epath.Path, names: Sequence[str]) -> np.ndarray:
    """Reads written images (n, H, W, 3) in [0, 1]."""
    images = []
    for name in names:
        with (folder / name).open("rb") as file:
            images.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(images) / np.float32(255.0)


def _read_orders(folder: epath.Path, done: int) -> np.ndarray | None:
    """Reads the orders of the traced images among the first `done`; None if some are missing."""
    try:
        orders = open_npy(folder / _ORDERS).read()
    except (OSError, DamagedError):
        return None
    return orders[:done] if done and len(orders) >= min(done, TRACE_IMAGES) else None


def _add_orders(folder: epath.Path, orders: np.ndarray | None, more: np.ndarray) -> np.ndarray:
    """Saves the orders (n, N) for a resumed run; no more than the picture shows."""
    orders = more if orders is None else np.concatenate([orders, more])
    orders = orders[:TRACE_IMAGES]
    with written_whole(folder / _ORDERS) as partial, partial.open("wb") as file:
        np.save(file, orders)
    return orders


def _grid(
    folder: epath.Path, names: Sequence[str], class_ids: np.ndarray, class_names: list[str]
) -> np.ndarray:
    """Returns the picture of the first images of the first classes."""
    shown = [
        np.flatnonzero(class_ids == c)[:GRID_COLUMNS] for c in np.unique(class_ids)[:GRID_CLASSES]
    ]
    rows = np.concatenate(shown)
    images = _read(folder, [names[row] for row in rows])
    return grids.class_grid(images, class_ids[rows], class_names, GRID_COLUMNS)


def _finish(manifest: Manifest, folder, names, class_ids, class_names, record) -> None:
    classes = [class_names[c] for c in class_ids.tolist()]
    sampled.finish(manifest, dict(zip(names, classes, strict=True)), record)
    others = {path.name for path in folder.glob("*.png")} - {*names, *sampled.PICTURES}
    if others:
        say(f"Note: {folder} also holds {len(others)} other images.")
