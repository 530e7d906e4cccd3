"""Samples as a folder of PNG files, with a record of how they were made."""

import collections
from typing import Any

import numpy as np
from etils import epath

from vpt_gen.data import sampled
from vpt_gen.images import grids
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.progress import say


def file_stems(class_names: list[str]) -> list[str]:
    """A file name for each class, without what file systems mind; no two are the same."""
    stems = ["".join(x if x.isalnum() or x in "-_" else "_" for x in name) for name in class_names]
    if len({stem.lower() for stem in stems}) < len(stems):
        return [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
    return stems


def save_images(
    images: np.ndarray,
    class_ids: np.ndarray,
    class_names: list[str],
    folder: epath.Path,
    record: dict[str, Any],
) -> None:
    """Writes `<class>_<number>.png` for every image; says what else already lay in the folder.

    `samples.json` keeps the class of each and the record of the generation, for whoever measures
    the folder (`data/sampled.py`).
    """
    older = {path.name for path in folder.glob("*.png")} - {"grid.png", "trace.png"}
    stems = file_stems(class_names)
    numbers = collections.Counter()
    classes = {}
    for image, c in zip(to_uint8(images), class_ids.tolist(), strict=True):
        name = f"{stems[c]}_{numbers[c]:04d}.png"
        grids.save_png(folder / name, image)
        numbers[c] += 1
        classes[name] = class_names[c]
    sampled.write(folder, classes, record)
    older -= classes.keys()
    if older:
        say(f"Note: {folder} also holds {len(older)} images that are not of this call.")
