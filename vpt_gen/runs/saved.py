"""Samples as a folder of PNG files, with their generation record."""

import collections
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from vpt_gen.data import sampled
from vpt_gen.images import grids
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.array_files import open_npy
from vpt_gen.machine.files import written_whole
from vpt_gen.machine.progress import say, track
from vpt_gen.runs.generation import Generation

# Limits of the pictures of all samples, so that they fit in memory.
GRID_COLUMNS, GRID_CLASSES = 10, 100
TRACE_IMAGES = 400
_PICTURES = {"grid.png", "trace.png"}
# File of the traced orders, until the picture is drawn.
_ORDERS = ".revealed_at.npy"


def file_stems(class_names: list[str]) -> list[str]:
    """Returns a distinct file name for each class, without special characters."""
    stems = ["".join(x if x.isalnum() or x in "-_" else "_" for x in name) for name in class_names]
    if len({stem.lower() for stem in stems}) < len(stems):
        return [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
    return stems


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
    """
    names = file_names(class_ids, class_names)
    older = _older(folder, names)
    _write(folder, names, images)
    _finish(folder, names, class_ids, class_names, record, older)


def save_generation(generation: Generation, folder: epath.Path, trace: bool = False) -> None:
    """Draws images and writes those of each batch before the next is drawn, then `grid.png`.

    The record is written last. If the same request was interrupted in this folder, it resumes:
    existing images are not drawn again. A request is everything that determines the images.

    Args:
      generation: what to draw.
      folder: for the images.
      trace: also write `trace.png`, the order of tokens in the first images.
    """
    class_ids, class_names = generation.class_ids, list(generation.run.facts["class_names"])
    record, names = generation.record(), file_names(generation.class_ids, class_names)
    request = _digest(generation, record, trace)
    older = _older(folder, names)
    done = _whole(folder, names, sampled.begin(folder, request))
    orders = _read_orders(folder, done) if trace else None
    if done:
        say(f"{done} of {len(names)} images are in {folder}; drawing the rest.")
    with track(total=len(names), initial=done, label="sampling") as bar:
        for batch in generation.batches(done):
            count = len(batch.images)
            _write(folder, names[done : done + count], batch.images)
            if trace and done < TRACE_IMAGES:
                orders = _add_orders(folder, orders, batch.revealed_at)
            done += count
            sampled.advance(folder, request, done)
            bar.update(count)
    _save_grid(folder, names, class_ids, class_names)
    if trace:
        assert orders is not None  # Of the first batch, drawn now or before.
        images = _read(folder, names[: len(orders)])
        grids.save_png(folder / "trace.png", grids.trace_grid(images, orders))
    _finish(folder, names, class_ids, class_names, record, older)
    (folder / _ORDERS).unlink(missing_ok=True)


def _digest(generation: Generation, record: dict[str, Any], trace: bool) -> str:
    """Returns the digest of a request, equal for two that make the same files."""
    weights = None if generation.weights is None else generation.weights.tolist()
    names = list(generation.run.facts["class_names"])
    request = [record, generation.bank.tolist(), weights, names, trace]
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _whole(folder: epath.Path, names: Sequence[str], done: int) -> int:
    """Returns how many of the first `done` images exist, up to the first missing one."""
    there = {path.name for path in folder.glob("*.png")}
    missing = (i for i, name in enumerate(names[:done]) if name not in there)
    return next(missing, min(done, len(names)))


def _older(folder: epath.Path, names: Sequence[str]) -> set[str]:
    return {path.name for path in folder.glob("*.png")} - _PICTURES - set(names)


def _write(folder: epath.Path, names: Sequence[str], images: np.ndarray) -> None:
    paths = [folder / name for name in names]
    # Compression takes longer than drawing with small nets, and releases Python's lock.
    with ThreadPoolExecutor() as pool:
        list(pool.map(grids.save_png, paths, to_uint8(images)))


def _read(folder: epath.Path, names: Sequence[str]) -> np.ndarray:
    """Reads written images (n, H, W, 3) in [0, 1]."""
    images = []
    for name in names:
        with (folder / name).open("rb") as file:
            images.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(images) / np.float32(255.0)


def _read_orders(folder: epath.Path, done: int) -> np.ndarray | None:
    """Reads the orders of the traced images among the first `done`."""
    if not done:
        return None
    return open_npy(folder / _ORDERS).read()[:done]


def _add_orders(folder: epath.Path, orders: np.ndarray | None, more: np.ndarray) -> np.ndarray:
    """Saves the orders (n, N) for a resumed run; no more than the picture shows."""
    orders = more if orders is None else np.concatenate([orders, more])
    orders = orders[:TRACE_IMAGES]
    with written_whole(folder / _ORDERS) as partial, partial.open("wb") as file:
        np.save(file, orders)
    return orders


def _save_grid(
    folder: epath.Path, names: Sequence[str], class_ids: np.ndarray, class_names: list[str]
) -> None:
    """Writes `grid.png` of the first images of the first classes."""
    shown = [
        np.flatnonzero(class_ids == c)[:GRID_COLUMNS] for c in np.unique(class_ids)[:GRID_CLASSES]
    ]
    rows = np.concatenate(shown)
    images = _read(folder, [names[row] for row in rows])
    picture = grids.class_grid(images, class_ids[rows], class_names, GRID_COLUMNS)
    grids.save_png(folder / "grid.png", picture)


def _finish(folder, names, class_ids, class_names, record, older: set[str]) -> None:
    classes = [class_names[c] for c in class_ids.tolist()]
    sampled.write(folder, dict(zip(names, classes, strict=True)), record)
    if older:
        say(f"Note: {folder} also holds {len(older)} other images.")
