"""Pictures for people: image grids, with labels if they help."""

import io
import math
import pathlib

import numpy as np
from etils import epath
from PIL import Image, ImageDraw, PngImagePlugin

from vpt_gen.images import labels
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.files import written_whole
from vpt_gen.machine.progress import say

# Size of a strip: the first images of the first classes, side by side, for pictures of many runs.
STRIP, STRIP_IMAGES = "strip.png", 10
_PADDING = 2
_FIRST, _LAST = np.array([0.15, 0.1, 0.45]), np.array([1.0, 0.9, 0.2])


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (n, H, W, 3) in [0, 1] -> one uint8 picture, row by row, on a gray background.

    Args:
      images: of one size.
      columns: images per row; None makes the grid about square.
    """
    tiles = to_uint8(images)
    n, height, width, _ = tiles.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    cell_height, cell_width = height + _PADDING, width + _PADDING
    grid = np.full(
        (rows * cell_height + _PADDING, columns * cell_width + _PADDING, 3), 96, np.uint8
    )
    for i, tile in enumerate(tiles):
        top = (i // columns) * cell_height + _PADDING
        left = (i % columns) * cell_width + _PADDING
        grid[top : top + height, left : left + width] = tile
    return grid


def magnify(images: np.ndarray) -> np.ndarray:
    """Enlarges small images (n, H, W, 3) to sides of about 64 pixels by an integer factor."""
    factor = max(1, round(64 / images.shape[1]))
    return np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)


def labeled_rows(rows: dict[str, np.ndarray]) -> np.ndarray:
    """{label: images (n, H, W, 3)} -> one uint8 picture with the label at the left of its row."""
    columns = max(len(images) for images in rows.values())
    strips = {label: image_grid(magnify(images), columns) for label, images in rows.items()}
    font = labels.font_for("".join(rows))
    drawn = {label: labels.drawable(label, font) for label in rows}
    margin = max(int(font.getlength(words)) for words in drawn.values()) + 12
    height = sum(strip.shape[0] for strip in strips.values())
    width = max(strip.shape[1] for strip in strips.values())
    canvas = Image.new("RGB", (margin + width, height), "white")
    draw = ImageDraw.Draw(canvas)
    top = 0
    for label, strip in strips.items():
        middle = top + strip.shape[0] // 2
        draw.text((margin - 6, middle), drawn[label], fill="black", font=font, anchor="rm")
        canvas.paste(Image.fromarray(strip), (margin, top))
        top += strip.shape[0]
    return np.asarray(canvas)


def class_grid(
    images: np.ndarray, class_ids: np.ndarray, class_names: list[str], columns: int = 10
) -> np.ndarray:
    """The first images (n, H, W, 3) of each class, unselected, one labeled row per class."""
    classes = sorted(set(class_ids.tolist()))
    rows = {class_names[c]: images[class_ids == c][:columns] for c in classes}
    return labeled_rows(rows)


def order_colors(
    revealed_at: np.ndarray, height: int, width: int, grid: tuple[int, int]
) -> np.ndarray:
    """Orders (n, N) in which tokens were fixed -> images (n, H, W, 3): blue first, yellow last.

    Given tokens, at -1, are black.

    Args:
      revealed_at: row-major.
      height: H.
      width: W.
      grid: height and width of the tokens' grid; (1, N) shows them as bars from left to right.
    """
    shape = (len(revealed_at), *grid)
    when = revealed_at.reshape(*shape, 1) / max(revealed_at.max(), 1)
    colors = (1.0 - when) * _FIRST + when * _LAST
    colors[revealed_at.reshape(shape) < 0] = 0.0
    return enlarged(colors, height, width)


def enlarged(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps (n, h, w, ...) -> (n, H, W, ...), whose pixels are those of the map at their place."""
    _, h, w, *_ = maps.shape
    rows, columns = np.arange(height) * h // height, np.arange(width) * w // width
    return maps[:, rows][:, :, columns]


def trace_grid(images: np.ndarray, revealed_at: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Shows each image next to the order of its tokens: dark blue was revealed first, yellow last.

    Args:
      images: (n, H, W, 3) in [0, 1].
      revealed_at: (n, N), the iteration that fixed each token, from 0; -1, given, is black.
      grid: see `order_colors`.
    """
    n, height, width, _ = images.shape
    colors = order_colors(revealed_at, height, width, grid)
    pairs = np.stack([images, colors], axis=1).reshape(2 * n, height, width, 3)
    return image_grid(magnify(pairs), columns=8)


def as_png(picture: np.ndarray) -> bytes:
    """A uint8 picture -> the content of its PNG file."""
    maker = PngImagePlugin.PngInfo()
    maker.add_text("Software", "vpt_gen")  # Which `files.check_output` looks for.
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", pnginfo=maker)
    return buffer.getvalue()


def save_png(path: epath.Path | pathlib.Path, picture: np.ndarray) -> None:
    """Writes a uint8 picture; makes the folder if it is missing."""
    with written_whole(path) as partial:
        partial.write_bytes(as_png(picture))


def in_strip(labels: np.ndarray) -> np.ndarray:
    """Selects the images (n,) of a strip: the first of ten classes each, more of fewer classes."""
    classes = np.unique(labels)[:STRIP_IMAGES]
    chosen = np.zeros(len(labels), bool)
    for label in classes:
        chosen[np.flatnonzero(labels == label)[: STRIP_IMAGES // len(classes)]] = True
    return chosen


def strip(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A strip, uint8, of the images (n, H, W, 3) in [0, 1], unscaled, class by class."""
    chosen = in_strip(labels)
    ordered = images[chosen][np.argsort(labels[chosen], kind="stable")]
    return np.concatenate(list(to_uint8(ordered)), axis=1)


def read_strip(folder: epath.Path | pathlib.Path) -> np.ndarray | None:
    """The images (n, H, H, 3) in [0, 1] of the strip in a folder; None if it has no intact one."""
    path = folder / STRIP
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            picture = np.asarray(Image.open(file).convert("RGB")) / np.float32(255.0)
        return np.stack(np.split(picture, picture.shape[1] // picture.shape[0], axis=1))
    except Exception as error:  # Pillow reports damage by many errors.
        say(f"{path} is damaged ({error}); its images are left out.")
        return None
