"""Batches pictures of any size: each is placed at the top left of a canvas.

Sides of canvases and, if a whole batch would not fit in memory, their number are powers of two, so
that many sizes of pictures need few compiled programs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

MAX_BYTES = 2**26  # bytes of canvases that are resized together


def groups(
    images: Iterable[np.ndarray], batch_size: int
) -> Iterator[tuple[list[np.ndarray], bool]]:
    """Groups pictures whose canvases fit in memory together; one beyond the limit is alone.

    Args:
      images: uint8 pictures (H, W, 3) and batches (B, H, W, 3) of them.
      batch_size: pictures in a batch.

    Yields:
      Pictures in order, and whether they end a batch.

    Raises:
      ValueError: images of another type or shape.
    """
    group: list[np.ndarray] = []
    count = 0
    sides: Any = (1, 1)  # Height and width, as a pair or an array.
    for picture in _pictures(images):
        sides = np.maximum(picture.shape[:2], sides)
        if group and (len(group) + 1) * _num_bytes(sides) > MAX_BYTES:
            yield group, False
            group, sides = [], picture.shape[:2]
        group.append(picture)
        count += 1
        if count == batch_size:
            yield group, True
            group, count, sides = [], 0, (1, 1)
    if group:
        yield group, True


def room_for(group: list[np.ndarray], batch_size: int, multiple: int) -> int:
    """Returns the number of canvases for a group: a whole batch if that many fit.

    Args:
      group: pictures.
      batch_size: pictures in a batch.
      multiple: the number must be a multiple of it.
    """
    if batch_size * _num_bytes(_longest(group)) <= MAX_BYTES:
        return batch_size
    return multiple * _power_of_two(-(-len(group) // multiple))


def lay(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures -> canvases (B, H, W, 3), and the pictures' sizes (B, 2)."""
    sizes = np.array([picture.shape[:2] for picture in pictures], np.int32)
    height, width = map(_power_of_two, _longest(pictures))
    canvas = np.zeros((len(pictures), height, width, 3), np.uint8)
    for room, picture, (h, w) in zip(canvas, pictures, sizes, strict=True):
        room[:h, :w] = picture
    return canvas, sizes


def _pictures(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pictures and batches -> pictures (H, W, 3)."""
    for item in images:
        item = np.asarray(item)
        if item.dtype != np.uint8 or item.ndim not in (3, 4) or item.shape[-1] != 3:
            raise ValueError(
                f"Images must be uint8 (H, W, 3) or (B, H, W, 3), not {item.dtype} {item.shape}."
            )
        yield from item if item.ndim == 4 else (item,)


def _longest(pictures: list[np.ndarray]) -> np.ndarray:
    return np.max([picture.shape[:2] for picture in pictures], axis=0)


def _num_bytes(sides) -> int:
    """Returns the bytes of a canvas for a picture of these sides."""
    return 3 * _power_of_two(sides[0]) * _power_of_two(sides[1])


def _power_of_two(number: int) -> int:
    """Returns the smallest power of two that is not below `number`."""
    return 1 << int(number - 1).bit_length()
