"""A folder of images: one sub-folder a class, or flat (one class)."""

import hashlib
import os
import pathlib

import numpy as np

from vpt_gen.data import images, sampled
from vpt_gen.data.checked import Checked, check, index_path, read_file
from vpt_gen.data.listing import Listing, Names, list_folder, shown
from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError
from vpt_gen.files import write_text
from vpt_gen.progress import say

# So many files that were left out are named; more are counted, and listed in a file.
NAMED = 20


def open_folder(path: str) -> Source:
    """Reads a folder of images; what is left out is named and counted.

    Every file is decoded once, the first time that the folder is opened; what was found out is
    remembered as long as the files do not change (`checked.py`).

    Args:
      path: with one sub-folder a class (labels follow the sorted names), or images right inside:
        then there is one class, named like the folder, or those that the note of `vpt_gen.sample`
        tells (`sampled.py`).

    Raises:
      UserError: missing folder, no images, a class without a readable image, images beside class
        folders, or a note of images that are not there.
    """
    root = os.path.expanduser(path)
    if not path or not os.path.isdir(root):
        raise UserError(
            f"Image folder {path!r} does not exist; set config.data.path to your folder."
        )
    listing = list_folder(root)
    if note := sampled.read(root):
        listing = _as_sampled(root, listing, note[0])
    checked = check(root, listing.names)
    _tell_left_out(root, listing, checked)
    kept = np.delete(np.arange(len(listing.names)), sorted(checked.errors))
    labels = listing.labels[kept]
    _check_classes(root, listing.class_names, labels)
    names, digests = Names.of(listing.names[i] for i in kept), checked.digests[kept]
    folder = os.fsencode(os.path.abspath(root))

    def load(index: int) -> np.ndarray:
        name = names[index]
        try:
            content = read_file(os.path.join(folder, name))
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(f"{shown(name)} has become unreadable: {reason}") from error
        if hashlib.sha256(content).digest() != digests[index].tobytes():
            raise OSError(f"{shown(name)} has changed since the run began")
        return images.decode(content)

    blob = np.frombuffer(names.blob, np.uint8)
    return Source(
        name=str(pathlib.Path(root)),
        class_names=listing.class_names,
        labels=labels,
        load=load,
        digest=digest_of(blob, names.ends, digests, labels),
    )


def _as_sampled(root: str, listing: Listing, classes: dict[str, str]) -> Listing:
    """The images that a note names, with its classes; all others are left out."""
    known = {os.fsencode(name): class_name for name, class_name in classes.items()}
    missing = known.keys() - set(listing.names)
    if missing:
        raise UserError(
            f"{root} lacks {len(missing):,} of the images that its {sampled.FILE} lists "
            f"({shown(min(missing))}, for one): generate them anew, or delete {sampled.FILE}."
        )
    class_names = tuple(sorted(set(known.values())))
    numbers = {name: number for number, name in enumerate(class_names)}
    names = [name for name in listing.names if name in known]
    labels = np.array([numbers[known[name]] for name in names], np.int32)
    others = [name for name in listing.names if name not in known]
    left_out = [entry for entry in listing.left_out if entry[0] != os.fsencode(sampled.FILE)]
    left_out += [(name, f"not listed in {sampled.FILE}") for name in others]
    return Listing(class_names, Names.of(names), labels, left_out)


def _check_classes(root: str, class_names: tuple[str, ...], labels: np.ndarray) -> None:
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        more = f" (and so do {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"Class {class_names[missing[0]]!r} of {root} holds no readable image{more}; "
            "add some or remove the folder."
        )


def _tell_left_out(root: str, listing: Listing, checked: Checked) -> None:
    """Names the first files that are left out, counts the others, and sums up."""
    unreadable = [(listing.names[i], reason) for i, reason in sorted(checked.errors.items())]
    lines = [
        f"Left out: {os.path.join(root, shown(name))} ({reason})"
        for name, reason in unreadable + listing.left_out
    ]
    for line in lines[:NAMED]:
        say(line)
    if len(lines) > NAMED:
        whole = index_path(root).with_suffix(".left_out.txt")
        try:
            write_text(whole, "\n".join(lines) + "\n")
            say(f"... and {len(lines) - NAMED:,} more; the whole list: {whole}")
        except OSError as error:
            say(f"... and {len(lines) - NAMED:,} more ({whole}: {error.strerror})")
    good = len(listing.names) - len(checked.errors)
    classes = len(listing.class_names)
    say(
        f"{good:,} image{'s' * (good != 1)} in {classes:,} class{'es' * (classes != 1)}, "
        f"{len(lines):,} left out: {root}"
    )
