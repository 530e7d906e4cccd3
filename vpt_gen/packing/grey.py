"""The source data set of the demo: gray drawings that show no digits, packed into one npz.

Reads three archives that `launch/fetch.sh grey` downloads (animal silhouettes, line icons and clip
art), draws each picture bright on a black 64x64 background like a handwritten digit (ink 255 on 0),
and leaves out pictures of digits or writing: the demo's target data set is digits, and a source
that has seen them would not test transfer. `packer` has the format.
"""

import gzip
import io
import pathlib
import pickle
import zipfile
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from vpt_gen import cli
from vpt_gen.checkpoints.released import pickle_scan
from vpt_gen.checkpoints.released.pickle_scan import Fixed, StandIn
from vpt_gen.errors import UserError
from vpt_gen.machine import later
from vpt_gen.machine.files import check_writable
from vpt_gen.packing import grey_rules
from vpt_gen.packing.archives import (
    bounded,
    clipart_pictures,
    find_archives,
    npm_files,
)
from vpt_gen.packing.on_white import on_white
from vpt_gen.packing.packer import SIZE, Packer

with later.imports(globals()):
    from vpt_gen.packing.strokes import edge, skeleton

FLAGS = flags.FLAGS

CONTENT = 56  # longest side of its content, in pixels
FAINT = 24  # ink up to this (of 255) counts as empty ground: specks, paper grain
MIN_INK = 96  # a picture whose darkest ink is fainter than this would be nearly black
MAX_MEAN_INK = 200  # content fuller than this is a filled shape, not a drawing

ARCHIVES = {
    "animals": "animal_mnist-*.whl",
    "icons": "tabler-icons-png-*.tgz",
    "clipart": "openclipart-png_*.deb",
}
# The labels 0..9 of animal-mnist.
ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")


def _dtype(name, *unused):
    if not isinstance(name, str) or len(name) > 8:
        raise UserError("it holds an array of another type than numbers")
    return np.dtype(name)


_KNOWN = {
    "numpy.ndarray": Fixed(),  # an argument of the next
    "numpy._core.multiarray._reconstruct": StandIn(lambda *unused: np.empty(0, np.uint8)),
    "numpy.dtype": StandIn(_dtype),
}


def load_arrays(compressed: bytes) -> Any:
    """Loads a gzip file of a pickle of arrays.

    Raises:
      UserError: it would run code.
      Exception: many errors for damaged content.
    """
    with gzip.open(io.BytesIO(compressed)) as file:
        content = io.BytesIO(bounded(file, len(compressed)))
    pickle_scan.check(content, largest=content.getbuffer().nbytes)
    content.seek(0)
    return ArrayUnpickler(content).load()


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds NumPy arrays and raises UserError for anything else.

    A pickle can call anything it names; here it may name only the three things an array needs, and
    gets stand-ins for them, which allocate nothing.
    """

    def find_class(self, module, name):
        module = module.replace("numpy.core", "numpy._core")
        if f"{module}.{name}" in _KNOWN:
            return _KNOWN[f"{module}.{name}"]
        raise UserError(
            f"A pickle inside the animal-mnist wheel asks for {module}.{name}, which arrays do not "
            "need; delete the wheel and fetch it again from a registry that you trust."
        )


# Styles of the silhouettes, in turn, and radii of the pen, in turn (pixels of its canvas).
ANIMAL_STYLES = {
    "filled": lambda silhouette, radius: silhouette,
    "edge": edge,
    "skeleton": skeleton,
}
PEN_RADII = (7.0, 10.0, 13.0)


def read_animals(wheel):
    """Yields (style/class/number, image of ink, mode L), bright on black, of the silhouettes.

    Each silhouette is drawn in one style of ANIMAL_STYLES.
    """
    folder = "animal_mnist/data/Animal_MNIST/"
    with zipfile.ZipFile(wheel) as archive:
        images, labels = (
            load_arrays(archive.read(folder + name))
            for name in ("animal_data_version_3.gz", "animal_label_version_3.gz")
        )
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        turn, which = divmod(number, len(ANIMAL_STYLES))
        style = list(ANIMAL_STYLES)[which]
        drawing = ANIMAL_STYLES[style](Image.fromarray(image), PEN_RADII[turn % len(PEN_RADII)])
        yield f"{style}/{ANIMALS[label]}/{number:05d}", drawing


def read_icons(tarball):
    """Yields (outline/name or filled/name, PNG bytes) of the npm tarball."""
    return npm_files(tarball, "icons/", ".png")


def ink_of(picture: bytes) -> Image.Image:
    """Returns a picture's ink as an 'L' image, 0 none to 255 full: darkness over white paper."""
    return on_white(picture).convert("L").point(lambda value: 255 - value)


def draw(picture: bytes | Image.Image) -> np.ndarray | str:
    """Crops the ink, scales it to CONTENT and centers it: uint8 (SIZE, SIZE), or a str: why not.

    Args:
      picture: PNG bytes, or its ink.
    """
    ink = ink_of(picture) if isinstance(picture, bytes) else picture
    box = ink.point(lambda value: 255 * (value > FAINT)).getbbox()
    if box is None:
        return "blank"
    content = ink.crop(box)
    scale = CONTENT / max(content.size)
    size = [max(1, round(side * scale)) for side in content.size]
    content = content.resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(content)
    if pixels.max() < MIN_INK:
        return "faint"
    if pixels.mean() > MAX_MEAN_INK:
        return "slab of ink"
    frame = Image.new("L", (SIZE, SIZE))
    frame.paste(content, ((SIZE - content.width) // 2, (SIZE - content.height) // 2))
    return np.asarray(frame)


READERS = {"animals": read_animals, "icons": read_icons, "clipart": clipart_pictures}


def pack(archives: dict[str, pathlib.Path]) -> Packer:
    """Reads the archives; UserError names a damaged one."""
    packer = Packer(draw, grey_rules)
    packer.add_all(archives, READERS)
    return packer


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("downloads", "downloads", "Folder of the three archives.")
    flags.DEFINE_string("output", "downloads/source_grey.npz", "The .npz file to write.")


def main():
    """Runs the program; its flags are parsed."""
    check_writable(pathlib.Path(FLAGS.output), "--output")
    archives = find_archives(FLAGS.downloads, "grey", ARCHIVES)
    pack(archives).save(archives, FLAGS.output, ("numpy", "pillow", "scikit-image"))


if __name__ == "__main__":
    cli.run(main, define_flags)
