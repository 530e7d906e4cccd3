"""The source data set of the shipped color models: drawings on white, packed into one npz.

Reads two archives that `launch/fetch.sh color` downloads, clip art (Debian's openclipart, public
domain) and emoji (npm's emoji-datasource-google, pictures by Google under Apache-2.0). Each picture
is put on white, cropped to its content, and scaled into a 64x64 square. `packer` has the format.
"""

import json
import pathlib

import numpy as np
from absl import flags

from vpt_gen import cli
from vpt_gen.machine.files import check_writable
from vpt_gen.packing import color_rules
from vpt_gen.packing.archives import (
    clipart_pictures,
    find_archives,
    npm_files,
)
from vpt_gen.packing.on_white import fit_square, on_white
from vpt_gen.packing.packer import SIZE, Packer

FLAGS = flags.FLAGS

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
    """Reads the archives; UserError names a damaged one."""
    packer = Packer(draw, color_rules)
    packer.add_all(archives, READERS)
    return packer


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("downloads", "downloads", "Folder of the two archives.")
    flags.DEFINE_string("output", "downloads/source_color.npz", "The .npz file to write.")


def main():
    """Runs the program; its flags are parsed."""
    check_writable(pathlib.Path(FLAGS.output), "--output")
    archives = find_archives(FLAGS.downloads, "color", ARCHIVES)
    pack(archives).save(archives, FLAGS.output, ("numpy", "pillow"))


if __name__ == "__main__":
    cli.run(main, define_flags)
