"""Rules of the photos source's drawings: excluded pictures, classes of the others, and caps.

A picture is identified by its archive, "clipart" or "emoji", and its path there: clip art's
folders, or an emoji's category and subcategory.
"""

import math


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Folders of clip art with enough pictures of one kind for their own class.
CLIPART_CLASSES = _words("""
animals/birds animals/bugs animals/mammals buildings/homes computer/buttons computer/hardware
computer/icons food/beverages food/desserts food/fruit people/clothing people/smilies
people/stickmen plants/flowers recreation/games recreation/music recreation/sports shapes/arrows
signs_and_symbols/flags signs_and_symbols/led signs_and_symbols/map_symbols
special/patterns transportation/boating transportation/roadsigns transportation/vehicles
""")
# Folders too small for a class: together they are "misc".
SMALL_FOLDERS = _words("""
buttons containers decorations education electronics logos science special unsorted
""")

# Beginning of an emoji's subcategory -> its class; by category otherwise.
EMOJI_CLASSES = {
    "animal": "animals",
    "body": "hands",
    "cat-face": "faces",
    "clothing": "clothing",
    "emotion": "faces",
    "face": "faces",
    "hand": "hands",
    "heart": "faces",
    "monkey-face": "faces",
    "place": "places",
    "plant": "plants",
    "sky": "sky",
    "transport-sign": "symbols",
    "transport": "vehicles",
    "hotel": "places",
    "time": "objects",
}

# Series of similar pictures: how many of each folder are kept.
CAPS = {
    "clipart/computer/icons": 400,
    "clipart/people/clothing/pantyhose": 2,
    "clipart/recreation/games": 60,
    "clipart/shapes/jigsaw": 10,
    "clipart/shapes/stars": 10,
    "clipart/signs_and_symbols/flags": 100,
    "clipart/signs_and_symbols/led": 20,
    "clipart/signs_and_symbols/map_symbols": 60,
    "emoji/People & Body/family": 8,
    "emoji/Travel & Places/time": 12,
}
# Drawings that are also among the stamps of `targets`, found by `python -m tests.overlap`.
STAMPS = _words("""
animals/bugs/fly_01 animals/bugs/ladybug_01 animals/mammals/echidna_01 buildings/homes/home0
buildings/homes/home1 buildings/homes/home10 buildings/homes/home11 buildings/homes/home12
buildings/homes/home13 computer/home1
buildings/homes/pinkhome buildings/homes/pinkhome3 buildings/homes/pinkhome-simple
computer/home13
""")
# The same person at the same work occurs three times: man, woman, either.
_GENDERED = "People & Body/person"


def why_excluded(source: str, path: str) -> str | None:
    """Returns why a picture is excluded, by its path, or None."""
    if source == "clipart":
        return "a stamp of the targets" if path in STAMPS else None
    if path.startswith("Flags/"):
        return "emoji of a flag"
    name = path.rsplit("/", maxsplit=1)[-1]
    if path.startswith("Component/"):
        return "emoji of a skin tone"
    if path.startswith(_GENDERED) and name.startswith(("man", "male", "woman", "female")):
        return "emoji that is there without a gender, too"
    return None


def class_of(source: str, path: str) -> str:
    """Returns the class name of a picture: its archive, and a folder or kind of emoji."""
    if source == "emoji":
        category, subcategory, _ = path.split("/")
        known = (c for begin, c in EMOJI_CLASSES.items() if subcategory.startswith(begin))
        return f"emoji/{next(known, category.split(' ')[0].lower())}"
    for folder in CLIPART_CLASSES:
        if path.startswith(f"{folder}/"):
            return f"clipart/{folder.replace('/', '_')}"
    first = path.split("/")[0]
    return f"clipart/{'misc' if first in SMALL_FOLDERS else first}"


def series_and_cap(source: str, path: str) -> tuple[str, float]:
    """Returns a picture's series of similar pictures, and how many of it are kept."""
    for folder, cap in CAPS.items():
        if f"{source}/{path}".startswith(f"{folder}/"):
            return folder, cap
    return "", math.inf
