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
import re
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import PIL
from absl import app, flags
from PIL import Image

from vpt_gen.errors import UserError, report_user_errors
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


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Icon families (first word of the name) large enough for a class; the rest is "outline".
ICON_FAMILIES = frozenset(
    _words("""
align arrow arrows border building camera chart circle cloud device eye folder heart home layout
lock mail map message mood navigation photo shield shopping square user world
""")
)
# Clip-art folders too small for a class: together they are "misc".
SMALL_FOLDERS = _words("buttons containers decorations education electronics science unsorted")

# Icon words (between dashes) and whole icon names that draw digits, letters or writing, or signs
# easily read as one. A digit in a name drops the icon too, and so does a word of one letter other
# than x (a cross).
ICON_WORDS = frozenset(
    _words("""
abacus abc ad ai alarm alert alpha alphabet alt ammeter ampersand api article asterisk at auto
automatic badge baseline beta binary bitcoin blockquote bmp bold brand businessplan calculator
calendar cash ce certificate chlorine clock coin confucius cookie copyleft copyright creative csv
currency decimal dice discount dollar east emphasis euro exclamation explicit exposure eye-table
favicon file first formatting function gif hash hdr heading helicopter-landing help history hospital
hotel-service html http id infinity info input invoice italic jpg json kerning keyboard keyframes
label lambda language last letter letters live logic lte markdown math medal meter microfrontends
money moneybag motor news nfc north number numbers om omega once overline parking password paywall
pdf percentage pilcrow png pound prescription prompt puzzled question quote receipt registered
relation report rights root rss rupee scoreboard sd sdk section seo serverless servicemark sign signature
sort sos south spacing sport sql stopwatch strikethrough subscript subtitles sum superscript svg
tallymarks tax temperature terminal tex text thermometer tic time timezone tip-jar toml trademark
txt typeface typography uhd underline unknown usb uv ux variable vip voltmeter vs watch west writing
www xbox xd xxx yen yuan zip zodiac zzz
""")
)

# Clip-art folders of letters, digits and writing (cards and dice carry counts, computer icons are
# full of captions), of flags that spell letters, and of paper textures that are no drawings.
CLIPART_FOLDERS = (
    "logos",
    "special",
    "computer/icons",
    "computer/diagrams",
    "office/telephone",
    "recreation/games",
    "signs_and_symbols/clocks",
    "signs_and_symbols/flags/semaphore",
    "signs_and_symbols/led",
    "signs_and_symbols/money",
    "transportation/roadsigns",
)
# Words of clip-art file names that promise writing or digits (the artists named their files in
# their own language: English, Italian, French).
CLIPART_WORDS = frozenset(
    _words("""
advertising barcode bible birthday book books box calcolatrice calculator card cassa cell
certificate compass copyright cronometro currency dartboard diagram diagramma dice digital euro font
formula handphone istogramma kanji key keyb keyboard lettera map metro money newspaper number phone
postage probability rating record records rss sign stamp tabella temperature template thermometer
ticket time txt
""")
)
# Clip art whose file name begins so holds writing or digits: found by looking at every picture
# that the other rules keep (or, for some, the words "Linked Image Not Found").
CLIPART_SEEN = _words("""
2_dead_frogs 8ball 8port_switch Motorway_on abc_blocks aiga_cashier aiga_hotel_inf aiga_information
aiga_lost aiga_no_parking aiga_parking aiga_waiting alerta_for aqua_button atom_button barattolo
battery_01 bb_dvd bb_usb beer1 boating_rules bunch_o_buttons buses_and_bikes bussola button_01
canarias coffe_tea comburant corrosif diamante_illuminati dimm_memory discordian drill_peterm
duck_yellow_ii earth_and_north eris_apple ex_yves extremement facilement fancy_red_button fat_man
firewall flying_spaghetti garmin gateway_andy gnome-dev-harddisk gnu_linux gps_geko hat_-_clothing
heart_roberto hikinh hydrant_romus illuminati iraq irritant kallisti kansasflag libro_di_ricette
linux_powered lorry_length mag4 magelan man_crystal md_costea media_as_wmd medicina memory_ddr mhooo
milk_ model-view ms_01 municipios navigation_display network_cloud_david nocif otto_ passo_carrabile
pfd_01 question_cedric risque_pour robot_ganson route_jakob router_andy sailing_ saudi sexy_lady
shaezy shopping_cart_mimooh_01 skoynk slate-apple squeek stylized_yoga sung_ sunwheel t-shirt_02
tasto_9 tavola_esame teacher_zazou tres_toxique trophy tux_didier unita_disco usa_arkansas
usa_california usa_northcarolina usa_virgin usb_memory volley_ball_angelo wc_romus what_have_you
""")

# Look-alike series: the first so many pictures under the folder are kept.
CLIPART_CAPS = {
    "shapes/stars": 20,
    "shapes/arrows": 60,
    "shapes/jigsaw": 20,
    "people/clothing/pantyhose": 2,
    "signs_and_symbols/flags": 120,
}


def why_excluded(source: str, path: str) -> str | None:
    """The reason why a picture may show digits or writing, judged by its path, or None."""
    name = path.rsplit("/", maxsplit=1)[-1]
    if source == "icons":
        words = {name, *name.split("-")}
        if re.search(r"\d", name):
            return "digit in the icon's name"
        if words & ICON_WORDS or any(len(word) == 1 and word != "x" for word in words):
            return "icon of writing"
    if source == "clipart":
        if path.startswith(tuple(f"{folder}/" for folder in CLIPART_FOLDERS)):
            return "clip-art folder of writing or textures"
        if CLIPART_WORDS & set(re.split("[^a-z]+", name.lower())):
            return "clip art named after writing"
        if name.startswith(CLIPART_SEEN):
            return "clip art seen to hold writing"
    return None


def class_of(source: str, path: str) -> str:
    """The class name of a picture: animal, icon family, or clip-art folder."""
    first, *_, last = path.split("/")
    if source == "animals":
        return f"animal/{first}"
    if source == "icons":
        family = last.split("-")[0]
        return f"icon/{family if first == 'outline' and family in ICON_FAMILIES else first}"
    return f"clipart/{'misc' if first in SMALL_FOLDERS else first}"


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


def read_animals(wheel):
    """Yields (class/number, image of ink, mode L) of the wheel's silhouettes, bright on black."""
    folder = "animal_mnist/data/Animal_MNIST/"
    with zipfile.ZipFile(wheel) as archive:
        images, labels = (
            ArrayUnpickler(io.BytesIO(gzip.decompress(archive.read(folder + name)))).load()
            for name in ("animal_data_version_3.gz", "animal_label_version_3.gz")
        )
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield f"{ANIMALS[label]}/{number:05d}", Image.fromarray(image)


def read_icons(tarball):
    """Yields (outline/name or filled/name, PNG bytes) of the npm tarball."""
    with tarfile.open(tarball) as archive:
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
        series = next((folder for folder in CLIPART_CAPS if path.startswith(f"{folder}/")), None)
        if mark in self._hashes:
            return "near duplicate"
        if series and self._series[series] >= CLIPART_CAPS[series]:
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
        "made_with": {"numpy": np.__version__, "pillow": PIL.__version__},
    }
    np.savez_compressed(
        output,
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
