"""The source data set of the demo: grey drawings that show no digits, packed into one npz.

Reads three archives that `launch/fetch_source.sh` downloads (animal silhouettes, line icons and
clip art), draws each picture bright on a black 64x64 ground like a handwritten digit, and leaves
out what shows digits or writing, because the demo's target data set is digits and a source that
had already seen them would prove nothing about transfer.

The .npz holds `images` uint8 (n, 64, 64), ink 255 on ground 0; `labels` int32 (n,); `class_names`
(C,); `sources` (n,), "animals", "icons" or "clipart"; `paths` (n,), where in its archive each
picture lies; and `record`, JSON: the archives' SHA-256, and what was kept, dropped and broken.
"""

import collections
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import pickle
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import PIL
import skimage
from absl import app, flags
from PIL import Image

from vpt_gen.data.source_rules import class_of, series_and_cap, why_excluded
from vpt_gen.data.strokes import edge, skeleton
from vpt_gen.errors import UserError, report_user_errors
from vpt_gen.files import written_whole
from vpt_gen.progress import say

_DOWNLOADS = flags.DEFINE_string("downloads", "downloads", "Folder of the three archives.")
_OUTPUT = flags.DEFINE_string("output", "downloads/source_grey.npz", "The .npz file to write.")

SIZE = 64  # side of a packed picture, in pixels
CONTENT = 56  # longest side of its content, in pixels
MAX_PIXELS = 8e6  # larger pictures are passed over: minutes of work for a dozen barcodes
FAINT = 24  # ink up to this (of 255) counts as empty ground: specks, paper grain
MIN_INK = 96  # a picture whose darkest ink is fainter than this would pack as nearly black
MAX_MEAN_INK = 200  # content fuller than this is a slab of ink, not a drawing

ARCHIVES = {
    "animals": "animal_mnist-*.whl",
    "icons": "tabler-icons-png-*.tgz",
    "clipart": "openclipart-png_*.deb",
}
# The labels 0..9 of animal-mnist.
ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds NumPy arrays and raises UserError for anything else.

    A pickle can call whatever it names; this one may name the three things an array needs.
    """

    def find_class(self, module, name):
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # wherever this NumPy keeps it
        raise UserError(
            f"A pickle inside the animal-mnist wheel asks for {module}.{name}, which no array "
            "needs; delete the wheel and fetch it again from a registry you trust."
        )


# How the silhouettes are drawn, in turn, and the radii of the pen in turn (pixels of its canvas).
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
            ArrayUnpickler(io.BytesIO(gzip.decompress(archive.read(folder + name)))).load()
            for name in ("animal_data_version_3.gz", "animal_label_version_3.gz")
        )
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        turn, which = divmod(number, len(ANIMAL_STYLES))
        style = list(ANIMAL_STYLES)[which]
        drawing = ANIMAL_STYLES[style](Image.fromarray(image), PEN_RADII[turn % len(PEN_RADII)])
        yield f"{style}/{ANIMALS[label]}/{number:05d}", drawing


def read_icons(tarball):
    """Yields (outline/name or filled/name, PNG bytes) of the npm tarball."""
    with tarfile.open(tarball, "r:gz") as archive:
        yield from _pngs(archive, "package/icons/")


def read_clipart(package):
    """Yields (folder/.../name, PNG bytes) of the Debian package.

    Symbolic links are passed over: each points to a picture that is there under another path.
    """
    with tarfile.open(fileobj=io.BytesIO(_deb_data(package))) as archive:
        yield from _pngs(archive, "./usr/share/openclipart/png/")


def _pngs(archive, prefix):
    for member in archive:
        if member.isreg() and member.name.startswith(prefix) and member.name.endswith(".png"):
            yield member.name[len(prefix) : -4], archive.extractfile(member).read()


def _deb_data(package):
    """The bytes of data.tar.xz in a Debian package: an ar archive with 60-byte member heads."""
    with open(package, "rb") as file:
        file.seek(len("!<arch>\n"))
        while head := file.read(60):
            size = int(head[48:58])
            if head.startswith(b"data.tar.xz"):
                return lzma.decompress(file.read(size))
            file.seek(size + size % 2, io.SEEK_CUR)  # members start at even offsets
    raise tarfile.ReadError("no data.tar.xz inside")


def num_pixels(picture: bytes) -> int:
    """The number of pixels that the head of a PNG promises."""
    return int.from_bytes(picture[16:20]) * int.from_bytes(picture[20:24])


def ink_of(picture: bytes) -> Image.Image:
    """A picture's ink as an 'L' image, 0 none to 255 full: darkness over white paper.

    Raises OSError, ValueError or SyntaxError for a broken PNG.
    """
    rgba = Image.open(io.BytesIO(picture)).convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    grey = Image.alpha_composite(paper, rgba).convert("L")
    return grey.point(lambda value: 255 - value)


def draw(ink: Image.Image) -> np.ndarray | str:
    """The ink cropped, scaled to CONTENT and centred: uint8 (SIZE, SIZE), or a str: why not."""
    box = ink.point(lambda value: 255 * (value > FAINT)).getbbox()
    if box is None:
        return "blank"
    content = ink.crop(box)
    scale = CONTENT / max(content.size)
    size = [max(1, round(side * scale)) for side in content.size]
    content = content.resize(size, Image.Resampling.LANCZOS)
    if content.getextrema()[1] < MIN_INK:
        return "faint"
    if np.mean(content) > MAX_MEAN_INK:
        return "slab of ink"
    frame = Image.new("L", (SIZE, SIZE))
    frame.paste(content, [(SIZE - side) // 2 for side in content.size])
    return np.asarray(frame)


def average_hash(image: np.ndarray) -> bytes:
    """256 bits (32 bytes) of a picture: which cells of a 16x16 grid are above their mean."""
    cells = image.reshape(16, SIZE // 16, 16, SIZE // 16).mean(axis=(1, 3))
    return np.packbits(cells > cells.mean()).tobytes()


class Packer:
    """Collects the pictures that may be kept and counts the reasons of those that may not."""

    def __init__(self):
        self.kept, self.broken = [], []  # (source, path, image); paths
        self.dropped = collections.Counter()
        self._hashes, self._series = set(), collections.Counter()
        self._seen = 0

    def add(self, source, path, picture):
        """Keeps a picture, PNG bytes or an image of ink, or counts why it is dropped."""
        self._seen += 1
        if self._seen % 1000 == 0:
            say(f"{self._seen} pictures read, {len(self.kept)} kept")
        why = why_excluded(source, path) or self._draw_and_keep(source, path, picture)
        if why:
            self.dropped[f"{source}: {why}"] += 1

    def _draw_and_keep(self, source, path, picture):
        """Why the picture is dropped after all, or None."""
        try:
            if isinstance(picture, bytes):
                if num_pixels(picture) > MAX_PIXELS:
                    return "too many pixels"
                picture = ink_of(picture)
            image = draw(picture)
        except (OSError, ValueError, SyntaxError):
            self.broken.append(f"{source}/{path}")
            return "broken file"
        return image if isinstance(image, str) else self._keep(source, path, image)

    def _keep(self, source, path, image):
        mark = average_hash(image)
        series, cap = series_and_cap(source, path)
        if mark in self._hashes:
            return "near duplicate"
        if self._series[series] >= cap:
            return "series beyond its cap"
        self._hashes.add(mark)
        self._series[series] += 1
        self.kept.append((source, path, image))
        return None


def find_archives(folder: str) -> dict[str, pathlib.Path]:
    """The archive of each source in the folder; UserError where one is missing."""
    found = {}
    for source, pattern in ARCHIVES.items():
        paths = sorted(pathlib.Path(folder).expanduser().glob(pattern))
        if not paths:
            raise UserError(f"{folder} holds no {pattern}; run launch/fetch_source.sh {folder}.")
        found[source] = paths[-1]
    return found


def pack(archives: dict[str, pathlib.Path]) -> Packer:
    """Reads the archives; UserError names one that is damaged."""
    readers = {"animals": read_animals, "icons": read_icons, "clipart": read_clipart}
    damage = (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        pickle.UnpicklingError,
        zlib.error,
        gzip.BadGzipFile,
        EOFError,
        KeyError,
        ValueError,
    )
    packer = Packer()
    for source, archive in archives.items():
        try:
            for path, picture in readers[source](archive):
                packer.add(source, path, picture)
        except damage as error:
            raise UserError(
                f"{archive} is damaged ({error}); delete it and run launch/fetch_source.sh again."
            ) from error
    return packer


def save(packer: Packer, archives: dict[str, pathlib.Path], output: str) -> None:
    """Writes the .npz: see the head of this file."""
    sources, paths, images = zip(*packer.kept, strict=True)
    class_names, labels = np.unique(
        [class_of(source, path) for source, path in zip(sources, paths, strict=True)],
        return_inverse=True,
    )
    record = {
        "archives": {
            source: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for source, path in archives.items()
        },
        "kept": collections.Counter(sources),
        "dropped": packer.dropped,
        "broken": packer.broken,
        "made_with": {
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "scikit-image": skimage.__version__,
        },
    }
    with written_whole(pathlib.Path(output)) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            images=np.stack(images),
            labels=labels.astype(np.int32),
            class_names=class_names,
            sources=np.array(sources),
            paths=np.array(paths),
            record=json.dumps(record, indent=1),
        )


def main(_):
    """Packs the archives in --downloads into --output."""
    archives = find_archives(_DOWNLOADS.value)
    packer = pack(archives)
    if not packer.kept:
        raise UserError(f"{_DOWNLOADS.value} holds no usable picture; fetch the archives again.")
    save(packer, archives, _OUTPUT.value)
    for reason, count in sorted(packer.dropped.items()):
        say(f"dropped {count:5d}  {reason}")
    say(f"Wrote {len(packer.kept)} pictures to {_OUTPUT.value}.")


if __name__ == "__main__":
    sys.exit(report_user_errors(lambda: app.run(main)))
