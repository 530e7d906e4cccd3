"""What goes from the page to the user's disk, and from the editor to the program."""

import pathlib
import tempfile
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from vpt_gen.images import grids
from vpt_gen.playground.drawing import Drawn

ARCHIVE, COMMAND = "images.zip", "command.txt"


def archive(drawn: Drawn, folder: str) -> str:
    """Writes a ZIP file into a new folder in `folder`: the PNG files and their command."""
    path = pathlib.Path(tempfile.mkdtemp(dir=folder)) / ARCHIVE
    with zipfile.ZipFile(path, "w") as file:
        for name, image in {**drawn.given, **drawn.images}.items():
            file.writestr(name, grids.as_png(image))
        file.writestr(COMMAND, f"{drawn.command}\n")
    return str(path)


def of_editor(value: Mapping[str, Any] | None) -> tuple[np.ndarray | None, np.ndarray]:
    """Returns the image, uint8 (H, W, 3) or None, and the mask, bool (H, W), of an editor.

    Args:
      value: {"background": uint8 (H, W, 4) or None, "layers": [uint8 (H, W, 4), ...]}; what is
        drawn on a layer is not transparent there. An image is put on white.
    """
    background = value["background"] if value else None
    if value is None or background is None:
        return None, np.zeros((0, 0), bool)
    alpha = background[..., 3:] / np.float32(255.0)
    image = np.rint(background[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
    mask = np.zeros(image.shape[:2], bool)
    for layer in value["layers"]:
        mask |= layer[..., 3] >= 128
    return image, mask
