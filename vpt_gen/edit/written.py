"""The folder that the program writes: one PNG per edit, a picture of all, and their record."""

import pathlib
from collections.abc import Sequence

import numpy as np
from etils import epath
from PIL import Image

from vpt_gen.edit import NOTE, PICTURE
from vpt_gen.images import grids
from vpt_gen.machine.manifest import Manifest
from vpt_gen.runs.saved import file_names, file_stems, read_each

# Of the picture: side of an image, pixels, and results of a given image.
_SIDE, _RESULTS = 128, 8


def names_of(images: Sequence[str], class_ids: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Returns `<image>_<class>_<number>.png` for each image with each class (n,) in turn."""
    of_classes = file_names(class_ids, list(class_names))
    stems = file_stems([pathlib.Path(image).stem for image in images])
    names = [f"{stem}_{name}" for stem in stems for name in of_classes]
    # `a_b.png` with a class c makes the name of `a.png` with a class b_c.
    if len(set(map(str.casefold, names))) < len(names):
        numbered = [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
        return [f"{stem}_{name}" for stem in numbered for name in of_classes]
    return names


def open_manifest(folder: epath.Path, names: Sequence[str], request: str) -> Manifest:
    """Returns what writes the images; UserError if a file of somebody else would be replaced.

    Args:
      folder: of the files.
      names: of the images.
      request: a digest of everything that determines them; those that an interrupted program wrote
        for the same one stay.
    """
    return Manifest(folder / NOTE, [*names, PICTURE], request=request)


def read_painted(folder: epath.Path, names: Sequence[str], count: int) -> list[list[np.ndarray]]:
    """Reads the first results, uint8 (H, W, 3), of each of `count` given images."""
    of_each = len(names) // count
    shown = [names[i * of_each :][: min(of_each, _RESULTS)] for i in range(count)]
    return [read_each(folder, some) for some in shown]


def picture(
    given: Sequence[np.ndarray],
    canvases: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    painted: Sequence[Sequence[np.ndarray]],
) -> np.ndarray:
    """Returns one row per image: as given, with gray where it is repainted, and the first results.

    Args:
      given: uint8 images.
      canvases: with what is added.
      masks: of the canvases.
      painted: the results to show of each image.
    """
    rows = {}
    for i, (image, canvas, mask, made) in enumerate(
        zip(given, canvases, masks, painted, strict=True)
    ):
        shown = [image, np.where(mask[..., None], np.uint8(128), canvas), *made]
        rows[str(i)] = np.stack([_thumbnail(x) for x in shown])
    return grids.labeled_rows(rows)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Fits an image into a square, on white."""
    scale = _SIDE / max(image.shape[:2])
    size = [max(round(length * scale), 1) for length in reversed(image.shape[:2])]
    small = Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (_SIDE, _SIDE), "white")
    square.paste(small, ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
    return np.asarray(square) / np.float32(255.0)
