"""The images of the command line, and what to repaint of each."""

import pathlib
from collections.abc import Sequence

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.images import codec, masks
from vpt_gen.images.reasons import why


def read_image(path: str, ground: str = "white") -> np.ndarray:
    """Reads an image file -> uint8 (H, W, 3).

    Args:
      path: of the file.
      ground: what is under transparent parts, "white" or "black".

    Raises:
      UserError: no such file, no image, or one of too many pixels.
    """
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{path} is no file; check the path.")
    try:
        data = file.read_bytes()
        width, height = codec.size_of(data)
        if width * height > codec.LARGE:
            raise UserError(
                f"{path} has {width} x {height} pixels; at most {codec.LARGE:,} can be edited: "
                "shrink it first."
            )
        return codec.decode(data, ground)
    except UserError:
        raise
    except Exception as error:  # Pillow raises many kinds of errors.
        raise UserError(f"{path} cannot be read as an image: {why(error)}") from error


def masks_of(
    images: Sequence[np.ndarray], mask_files: Sequence[str], box: Sequence[int], keep: float
) -> list[np.ndarray]:
    """Returns the mask of each image.

    Args:
      images: uint8 (H, W, 3).
      mask_files: one for all images, or one per image, or none.
      box: x0, y0, x1, y1, or nothing.
      keep: above 0 without files and box: everything.

    Raises:
      UserError: nothing to repaint, or two ways at once, or a mask that does not fit.
    """
    if mask_files and box:
        raise UserError("--mask and --box exclude each other: leave one of them out.")
    sizes = [image.shape[:2] for image in images]
    if mask_files:
        if len(mask_files) not in (1, len(images)):
            raise UserError(
                f"There are {len(mask_files)} of --mask for {len(images)} of --image: give one for "
                "all, or one per image."
            )
        files = list(mask_files) * (len(images) // len(mask_files))
        # On black: editors export white strokes on a transparent layer, and only strokes count.
        return [
            masks.from_picture(read_image(file, "black"), size, file)
            for file, size in zip(files, sizes, strict=True)
        ]
    if box:
        return [masks.from_box(box, size) for size in sizes]
    if keep:
        return [np.ones(size, bool) for size in sizes]
    raise UserError("Say what to repaint: give --mask, --box, --extend or --keep.")


def extended(image: np.ndarray, margins: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns a larger canvas with an image in it, and the mask of what was added.

    Args:
      image: uint8 (H, W, 3).
      margins: pixels to add at the left, top, right and bottom.

    Raises:
      UserError: margins that add nothing, or too much.
    """
    left, top, right, bottom = margins
    height, width = image.shape[0] + top + bottom, image.shape[1] + left + right
    if not any(margins):
        raise UserError("--extend=0,0,0,0 adds nothing to repaint: give one number above 0.")
    if height * width > codec.LARGE:
        raise UserError(
            f"--extend makes {width} x {height} pixels; at most {codec.LARGE:,} can be edited: "
            "add less, or shrink the image first."
        )
    around = ((top, bottom), (left, right))
    mask = np.pad(np.zeros(image.shape[:2], bool), around, constant_values=True)
    canvas = np.pad(image, (*around, (0, 0)), mode="edge")
    continued = masks.filled(canvas / np.float32(255.0), mask)
    return codec.to_uint8(continued), mask
