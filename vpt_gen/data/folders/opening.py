"""A folder of images: one sub-folder per class, or flat (one class)."""

import hashlib
import itertools
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from vpt_gen.data import sampled
from vpt_gen.data.fewshot import labels_of
from vpt_gen.data.folders import messages as folder_messages
from vpt_gen.data.folders.checked import Checked, check, read_file
from vpt_gen.data.folders.listing import (
    Listing,
    Names,
    list_folder,
    shown,
)
from vpt_gen.data.folders.sharded import has_shards, open_shards
from vpt_gen.data.names import check_distinct
from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError
from vpt_gen.images import codec as images
from vpt_gen.machine.progress import say


def open_folder(path: str, classes: Sequence[str] = ()) -> Source:
    """Opens a folder of images; prints and counts what is left out.

    Every file is decoded once, when the folder is first opened; the results are kept as long as the
    files do not change (`checked.py`).

    Args:
      path: with one sub-folder per class (labels follow the sorted names), or directly with images:
        then there is one class, named like the folder, or the classes in the note of
        `vpt_gen.sample` (`sampled.py`), whose images may be in shards (`sharded.py`).
      classes: read only the images of these classes; () for all. Labels do not change, and files
        of other classes need not be readable.

    Raises:
      UserError: a missing folder, no images, a class without a readable image, images next to class
        folders, classes with the same name, a missing class in `classes`, or samples that are not
        the images of their note.
    """
    root = os.path.expanduser(path)
    if not path or not os.path.isdir(root):
        raise UserError(
            f"Image folder {path!r} does not exist; set config.data.path to your folder."
        )
    note = sampled.read(root)
    if note and has_shards(note):
        return open_shards(root, note, classes)
    listing = list_folder(root)
    if note:
        listing = _as_sampled(root, listing, note)
    check_distinct(listing.class_names, root)
    named = np.full(len(listing.class_names), not classes)
    named[labels_of(classes, listing.class_names, root)] = True
    wanted = np.flatnonzero(named[listing.labels])
    checked = check(root, listing.names, wanted)
    if note:
        _check_samples(root, listing.names, wanted, checked, note)
    broken = np.array([i in checked.errors for i in wanted.tolist()], bool)
    kept = wanted[~broken]
    labels, digests = listing.labels[kept], checked.digests[kept]
    names = Names.of(listing.names[i] for i in kept)
    left_out = [(listing.names[i], checked.errors[i]) for i in wanted[broken].tolist()]
    left_out += listing.left_out
    counts = np.bincount(labels, minlength=len(named)).tolist()
    counts = dict(itertools.compress(zip(listing.class_names, counts, strict=True), named))
    remarks = [
        (listing.names[i], checked.remarks[i]) for i in kept.tolist() if i in checked.remarks
    ]
    folder_messages.tell(root, names, counts, left_out, remarks)
    _check_classes(root, counts)
    folder = os.fsencode(os.path.abspath(root))

    def file(index: int) -> bytes:
        return os.path.join(folder, names[index])

    def load(index: int) -> np.ndarray:
        name = names[index]
        try:
            content = read_file(file(index))
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
        content=checked.pixels[kept],
        file=file,
    )


def _as_sampled(root: str, listing: Listing, note: sampled.Note) -> Listing:
    """Returns the images of a note with its classes, without pictures and images of before."""
    known = {_on_disk(name): class_name for name, class_name in note.classes.items()}
    missing = known.keys() - set(listing.names)
    if missing:
        raise UserError(
            f"{root} lacks {len(missing):,} of the images that its {sampled.FILE} lists "
            f"(such as {shown(min(missing))}): generate them again, or delete {sampled.FILE}."
        )
    class_names = tuple(sorted(set(known.values())))
    numbers = {name: number for number, name in enumerate(class_names)}
    names = [name for name in listing.names if name in known]
    labels = np.array([numbers[known[name]] for name in names], np.int32)
    pictures = set(map(os.fsencode, sampled.NO_SAMPLES))
    others = [name for name in listing.names if name not in known and name not in pictures]
    ours = set(map(_on_disk, note.digests or {}))
    if note.digests and (foreign := [name for name in others if name not in ours]):
        raise UserError(
            f"{root} holds {len(foreign):,} image{'s' * (len(foreign) != 1)} that its "
            f"{sampled.FILE} does not list (such as {shown(min(foreign))}): move them elsewhere, "
            f"or delete {sampled.FILE} to read all images without their classes."
        )
    left_out = [entry for entry in listing.left_out if entry[0] != os.fsencode(sampled.FILE)]
    reason = "of an earlier request" if note.digests else f"not listed in {sampled.FILE}"
    left_out += [(name, reason) for name in others]
    return Listing(class_names, Names.of(names), labels, left_out)


def _on_disk(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # Written under another locale.
        return name.encode()


def _check_samples(
    root: str, names: Names, wanted: np.ndarray, checked: Checked, note: sampled.Note
) -> None:
    """Raises UserError if one of the wanted images is not the one of the note."""
    if note.digests is None:
        say(
            f"The {sampled.FILE} of {root} is of an older version and has no digests: changes of "
            "its images since then would not be noticed."
        )
        return
    digests = {_on_disk(name): digest for name, digest in note.digests.items()}
    changed = [
        names[i]
        for i in wanted.tolist()
        if i in checked.errors or checked.digests[i].tobytes().hex() != digests[names[i]]
    ]
    if changed:
        raise UserError(
            f"{len(changed):,} image{'s' * (len(changed) != 1)} of {root} (such as "
            f"{shown(changed[0])}) changed after {sampled.FILE} was written: generate the images "
            f"again in another folder, or delete {sampled.FILE} to read them without their classes."
        )


def _check_classes(root: str, counts: dict[str, int]) -> None:
    empty = [name for name, count in counts.items() if not count]
    if empty == list(counts):
        raise UserError(f"{root} holds no readable image; the messages above say why.")
    if empty:
        more = f" (and so do {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise UserError(
            f"Class {empty[0]!r} of {root} holds no readable image{more}; add some, remove the "
            "folder, or name the other classes in config.data.classes."
        )
