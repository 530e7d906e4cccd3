"""The source data set of the demo: grey drawings that show no digits, packed into one npz.

Reads three archives that `launch/fetch_source.sh` downloads (animal silhouettes, line icons and
clip art), draws each picture bright on a black 64x64 ground like a handwritten digit, and leaves
out what shows digits or writing, because the demo's target data set is digits and a source that
had already seen them would prove nothing about transfer.
"""

import collections
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import pickle
import re
import tarfile
import zipfile

from absl import app, flags, logging
import numpy as np
from PIL import Image

_DOWNLOADS = flags.DEFINE_string("downloads", None, "Folder that holds the three archives.",
                                 required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The npz file to write.", required=True)

SIZE = 64      # side of a packed picture, in pixels
CONTENT = 56   # longest side of its content: the 20 of 28 of MNIST, somewhat fuller
FAINT = 24     # ink up to this (of 255) counts as empty ground: specks, paper grain
MIN_INK = 96   # a picture whose darkest ink is fainter than this would pack as nearly black
MAX_MEAN = 200  # mean ink of the content above this is a filled rectangle, not a drawing

ARCHIVES = {"animals": "animal_mnist-*.whl", "icons": "tabler-icons-png-*.tgz",
            "clipart": "openclipart-png_*.deb"}
ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")

# Icon words (between dashes) that draw digits, letters or writing, or signs easily read as one.
# Any digit in a name drops the icon too, and so does a word of one letter other than x (a cross).
ICON_WORDS = frozenset("""
abc ad ads ai alarm alpha alphabet alt ampersand api ar article asterisk at auth badge baseline
binary bitcoin bold brand cc certificate clock coin cookie copyright counter creative currency
calculator calendar cash decimal dice dollar euro exclamation exposure fahrenheit celsius file
first font gif gmail hash hd heading help history hours html http hz id info infinity input
invoice italic json jpg kerning keyboard keyframes label language last letter letters live
logic math medal message-language moneybag mp multiplier ms news nfc news number numbers omega
parking password pdf percentage pi pilcrow png pound prompt question quote radar-digits
rating receipt registered roman rosette-number rupee rss sd section seo sigma sign signature
sort spacing sql strikethrough subscript subtitles sum superscript svg tallymark tallymarks tax
temperature terminal text theta thermometer time timer tm toml trademark translate txt typeface
typography underline usb variable vip vo vr watch wc writing www xml yen zip zodiac
""".split())

# Clip-art folders of letters, digits and writing (cards and dice carry counts, computer icons are
# full of captions), of flags that spell letters, and of paper textures that are no drawings.
CLIPART_FOLDERS = (
    "logos", "special", "computer/icons", "computer/diagrams", "office/telephone",
    "recreation/games", "signs_and_symbols/clocks", "signs_and_symbols/flags/semaphore",
    "signs_and_symbols/led", "signs_and_symbols/money", "transportation/roadsigns",
)

# Clip art whose file name holds one of these words shows writing or digits (the artists named
# their files in their own language: English, Italian, French).
CLIPART_WORDS = frozenset("""
advertising alfabeto ball balls barcode bible birthday book books bowling box calcolatrice
calculator calendar card cards cash cassa cell certificate certificato chart clock clocks coin
coins compass copyright cronometro currency dartboard date diagram diagramma dice digit digital
document dollar domino euro font formula gauge handphone html istogramma kanji key keyb keyboard
letter lettera letters license limit logo map mappa metro money newspaper number numbers orologio
ovale phone plate postage poster probability rating record records rss ruler sign signs sms speed
stamp tabella template temperature text thermometer ticket time txt uniform watch word words
writing xml
""".split())

# Look-alike series: at most this many of the pictures under the prefix are kept.
CLIPART_CAPS = {"shapes/stars": 200, "shapes/arrows": 60, "signs_and_symbols/flags": 150,
                "signs_and_symbols/map_symbols": 100, "transportation/aiga-symbols": 60}

# Icon families (first word of the name) large enough for a class; the rest is "outline".
ICON_FAMILIES = ("arrow", "building", "chart", "circle", "device", "hexagon", "layout", "map",
                 "message", "mood", "photo", "square")
SMALL_FOLDERS = frozenset(("buttons", "containers", "decorations", "science", "unsorted"))


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds NumPy arrays and refuses everything else.

    Raises pickle.UnpicklingError for any global besides the three that an array needs.
    """

    def find_class(self, module, name):
        wanted = {("multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
        if module.split(".")[0] != "numpy" or (module.split(".")[-1], name) not in wanted:
            raise pickle.UnpicklingError(
                f"The pickle asks for {module}.{name}, which no array needs: do not trust it; "
                "download the wheel again with launch/fetch_source.sh.")
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # wherever this NumPy keeps it
        return getattr(np, name)


def read_animals(wheel):
    """The wheel's silhouettes, bright on black: yields (path, 'L' image) with path class/index."""
    with zipfile.ZipFile(wheel) as archive:
        def array(word):
            name = next(n for n in archive.namelist() if f"animal_{word}_" in n)
            return ArrayUnpickler(io.BytesIO(gzip.decompress(archive.read(name)))).load()
        images, labels = array("data"), array("label")
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield f"{ANIMALS[label]}/{index:05d}", Image.fromarray(image)


def read_icons(tgz):
    """The npm tarball's PNG files: yields (path, bytes) with path outline/name or filled/name."""
    with tarfile.open(tgz) as archive:
        yield from _pngs(archive, "package/icons/")


def read_clipart(deb):
    """The Debian package's PNG files: yields (path, bytes) with path folder/.../name.

    Symbolic links are passed over: each points to a picture that is there under another path.
    """
    with tarfile.open(fileobj=io.BytesIO(_deb_data(deb))) as archive:
        yield from _pngs(archive, "./usr/share/openclipart/png/")


def _pngs(archive, prefix):
    for member in archive:
        if member.isreg() and member.name.startswith(prefix) and member.name.endswith(".png"):
            yield member.name[len(prefix):-4], archive.extractfile(member).read()


def _deb_data(deb):
    """The unpacked data.tar of a Debian package (an ar archive with 60-byte member heads)."""
    with open(deb, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError(f"{deb} is no Debian package: delete it and fetch it again.")
        while head := file.read(60):
            name, size = head[:16].decode().strip(" /"), int(head[48:58])
            if name.startswith("data.tar"):
                if not name.endswith(".xz"):
                    raise ValueError(f"{deb} holds {name}, not data.tar.xz: fetch the version "
                                     "that launch/fetch_source.sh names.")
                return lzma.decompress(file.read(size))
            file.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError(f"{deb} holds no data.tar: delete it and fetch it again.")


def why_excluded(source, path):
    """The reason why a picture may show digits or writing, judged by its path, or None."""
    if source == "icons":
        name = path.split("/")[-1]
        words = set(name.split("-"))
        if re.search(r"\d", name):
            return "digit in the icon's name"
        if words & ICON_WORDS or any(len(word) == 1 and word != "x" for word in words):
            return "icon of writing"
    if source == "clipart":
        if any(path.startswith(folder + "/") for folder in CLIPART_FOLDERS):
            return "clip-art folder of writing or textures"
        if CLIPART_WORDS & set(re.split("[^a-z]+", path.split("/")[-1].lower())):
            return "clip art of writing"
    return None


def class_of(source, path):
    """The class name of a picture: animal, icon family, or clip-art folder."""
    first, *_, last = path.split("/")
    if source == "animals":
        return f"animal/{first}"
    if source == "icons":
        family = last.split("-")[0]
        return f"icon/{family if first == 'outline' and family in ICON_FAMILIES else first}"
    return f"clipart/{'misc' if first in SMALL_FOLDERS else first}"


def ink_of(picture):
    """A picture's ink as an 'L' image, 0 none to 255 full: darkness over white paper."""
    rgba = Image.open(io.BytesIO(picture)).convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    grey = Image.alpha_composite(paper, rgba).convert("L")
    return grey.point(lambda value: 255 - value)


def draw(ink):
    """The ink cropped, scaled to CONTENT and centred: uint8 (SIZE, SIZE), or a str: why not."""
    box = ink.point(lambda value: 255 * (value > FAINT)).getbbox()
    if box is None:
        return "blank"
    content = ink.crop(box)
    scale = CONTENT / max(content.size)
    content = content.resize([max(1, round(side * scale)) for side in content.size],
                             Image.Resampling.LANCZOS)
    if content.getextrema()[1] < MIN_INK:
        return "faint"
    if np.mean(content) > MAX_MEAN:
        return "filled rectangle"
    frame = Image.new("L", (SIZE, SIZE))
    frame.paste(content, [(SIZE - side) // 2 for side in content.size])
    return np.asarray(frame)


def average_hash(image):
    """256 bits (32 bytes) of a picture: which cells of a 16x16 grid are above their mean."""
    cells = image.reshape(16, SIZE // 16, 16, SIZE // 16).mean(axis=(1, 3))
    return np.packbits(cells > cells.mean()).tobytes()


def cap_of(source, path):
    """The look-alike series (a prefix in CLIPART_CAPS) that a picture belongs to, or None."""
    if source != "clipart":
        return None
    return next((prefix for prefix in CLIPART_CAPS if path.startswith(prefix + "/")), None)


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
            logging.info("%d pictures read, %d kept", self._seen, len(self.kept))
        result = why_excluded(source, path)
        if result is None:
            try:
                ink = ink_of(picture) if isinstance(picture, bytes) else picture
                result = draw(ink)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                self.broken.append(f"{source}/{path}")
                result = "broken file"
        if not isinstance(result, str):
            result = self._keep(source, path, result)
        if result:
            self.dropped[f"{source}: {result}"] += 1

    def _keep(self, source, path, image):
        mark, series = average_hash(image), cap_of(source, path)
        if mark in self._hashes:
            return "near duplicate"
        if series and self._series[series] >= CLIPART_CAPS[series]:
            return "series beyond its cap"
        self._hashes.add(mark)
        self._series[series] += 1
        self.kept.append((source, path, image))
        return None


def find_archives(folder):
    """The three archives in the folder: {source: path}. FileNotFoundError names a missing one."""
    found = {}
    for source, pattern in ARCHIVES.items():
        paths = sorted(pathlib.Path(folder).glob(pattern))
        if not paths:
            raise FileNotFoundError(f"No {pattern} in {folder}: run launch/fetch_source.sh {folder}")
        found[source] = paths[-1]
    return found


def save(packer, archives, output):
    """Writes images, labels, class_names, sources and the JSON record of how they came about."""
    sources, paths, images = zip(*packer.kept, strict=True)
    class_names, labels = np.unique(
        [class_of(source, path) for source, path in zip(sources, paths, strict=True)],
        return_inverse=True)
    record = {
        "archives": {source: {"file": path.name, "sha256": _sha256(path)}
                     for source, path in archives.items()},
        "kept": dict(collections.Counter(sources)), "dropped": dict(packer.dropped),
        "broken": packer.broken,
    }
    np.savez_compressed(output, images=np.stack(images), labels=labels.astype(np.int32),
                        class_names=class_names, sources=np.array(sources),
                        record=json.dumps(record, indent=1))
    return record


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(_):
    archives = find_archives(_DOWNLOADS.value)
    packer = Packer()
    for source, read in (("animals", read_animals), ("icons", read_icons),
                         ("clipart", read_clipart)):
        for path, picture in read(archives[source]):
            packer.add(source, path, picture)
    record = save(packer, archives, _OUTPUT.value)
    logging.info("Wrote %s: %s", _OUTPUT.value, json.dumps(record["kept"]))


if __name__ == "__main__":
    app.run(main)
