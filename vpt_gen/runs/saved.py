"""Samples as a folder of PNG files, with their generation record."""

import collections
import hashlib
import json
import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from etils import epath
from PIL import Image

from vpt_gen.data import sampled
from vpt_gen.images import grids
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine import distributed
from vpt_gen.machine.files import cut
from vpt_gen.machine.manifest import Manifest, Share
from vpt_gen.machine.progress import say, track
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.orders import RevealOrders

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
    Several processes call this together; each draws whole batches, so that the images are the same.

    Args:
      generation: what to draw.
      folder: for the images.
      trace: also write `trace.png`, the order of tokens in the first images; in one process.

    Raises:
      UserError: a file of somebody else would be replaced; nothing is drawn or written.
    """
    class_ids, class_names = generation.class_ids, list(generation.run.facts["class_names"])
    record, names = generation.record(), file_names(generation.class_ids, class_names)
    pictures = sampled.PICTURES if trace else sampled.PICTURES[:1]
    request, orders = _digest(generation, record, trace), RevealOrders(folder) if trace else None
    manifest: Manifest | None = None
    done = np.zeros(len(names), bool)

    def begin() -> None:
        nonlocal manifest, done
        manifest = sampled.open_manifest(folder, [*names, *pictures], request)
        done = np.array([name in manifest.done for name in names])
        done = orders.resume(done) if orders else done
        manifest.begin(jax.process_count())
        if done.any():
            say(f"{done.sum()} of {len(names)} images are in {folder}; drawing the rest.")

    def finish() -> None:
        assert manifest is not None  # `begin` made it.
        drawn = [_grid(folder, names, class_ids, class_names)]
        if orders:
            first = _read(folder, names[: orders.count])
            drawn.append(orders.picture(first, generation.run.sampler.token_grid))
        manifest.write(dict(zip(pictures, map(grids.as_png, drawn), strict=True)))
        _finish(manifest, folder, names, class_ids, class_names, record)
        if orders:
            orders.remove()

    distributed.first_does(begin)
    done = distributed.first_tells(done)
    files = manifest or sampled.open_share(folder, request, jax.process_index())
    _draw(generation, names, done, files, orders)
    distributed.wait_long()
    distributed.first_does(finish)


def _draw(
    generation: Generation,
    names: Sequence[str],
    done: np.ndarray,
    files: Manifest | Share,
    orders: RevealOrders | None,
) -> None:
    """Draws this process's share of the images that are not `done` (n,), and writes them."""
    batches = np.arange(len(names)) // generation.run.sampler.images_at_a_time
    own = distributed.share_of(np.unique(batches[~done]))
    wanted = ~done & np.isin(batches, own)
    rows = np.flatnonzero(wanted)
    with track(total=len(rows), label="sampling") as bar:
        for batch in generation.batches(wanted):
            now, rows = np.split(rows, [len(batch.images)])
            if orders:  # First, so that no image lacks its order.
                orders.add(batch.revealed_at)
            _write(files, [names[row] for row in now], batch.images)
            bar.update(len(now))


def _digest(generation: Generation, record: dict[str, Any], trace: bool) -> str:
    """Returns the digest of a request, equal for two that make the same files."""
    weights = None if generation.weights is None else generation.weights.tolist()
    names = list(generation.run.facts["class_names"])
    request = [record, generation.bank.tolist(), weights, names, trace]
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _write(files: Manifest | Share, names: Sequence[str], images: np.ndarray) -> None:
    # Compression takes longer than drawing with small nets, and releases Python's lock.
    with ThreadPoolExecutor() as pool:
        contents = list(pool.map(grids.as_png, to_uint8(images)))
    files.write(dict(zip(names, contents, strict=True)))


def _read(folder: epath.Path, names: Sequence[str]) -> np.ndarray:
    """Reads written images (n, H, W, 3) in [0, 1]."""
    images = []
    for name in names:
        with (folder / name).open("rb") as file:
            images.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(images) / np.float32(255.0)


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
