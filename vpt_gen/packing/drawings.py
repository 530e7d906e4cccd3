"""The drawings of the photos source: clip art and emoji in color, on white.

Clip art is Debian's openclipart, public domain. Emoji are the pictures by Google of npm's
emoji-datasource-google, Apache-2.0. Each picture is put on white, cropped to its content, and
scaled into a 64x64 square.
"""

import json
import pathlib

import numpy as np

from vpt_gen.packing import drawing_rules
from vpt_gen.packing.archives import clipart_pictures, npm_files
from vpt_gen.packing.on_white import fit_square, on_white
from vpt_gen.packing.packer import SIZE, Packer

ARCHIVES = {"emoji": "emoji-datasource-google-*.tgz", "clipart": "openclipart-png_*.deb"}
CONTENT = 60  # longest side of its content, in pixels


def read_emoji(tarball):
    """Yields (category/subcategory/name, PNG bytes), without the variants of skin tone."""
    about = json.loads(dict(npm_files(tarball, "", ".json"))["emoji"])
    pictures = dict(npm_files(tarball, "img/google/64/", ".png"))
    for emoji in about:
        name = emoji["image"].removesuffix(".png")
        if emoji["has_img_google"] and name in pictures:
            path = (emoji["category"], emoji["subcategory"], emoji["short_name"])
            yield "/".join(path), pictures[name]


READERS = {"emoji": read_emoji, "clipart": clipart_pictures}


def draw(picture: bytes) -> np.ndarray | str:
    """PNG bytes -> uint8 (SIZE, SIZE, 3) on white, or a str: why not."""
    image = fit_square(on_white(picture), SIZE, CONTENT)
    return "blank" if image is None else np.asarray(image)


def pack(archives: dict[str, pathlib.Path]) -> Packer:
    """Reads the archives; UserError names a damaged one, or says that nothing is usable."""
    packer = Packer(draw, drawing_rules)
    packer.add_all(archives, READERS)
    return packer
