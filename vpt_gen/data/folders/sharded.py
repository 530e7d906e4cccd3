"""A folder of `vpt_gen.sample` whose images are in TAR shards (`data/shards.py`)."""

import collections
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from vpt_gen.data import sampled
from vpt_gen.data.fewshot import labels_of
from vpt_gen.data.folders.listing import shown
from vpt_gen.data.shards import EXTENSION, file_of, places_in
from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError
from vpt_gen.images import codec
from vpt_gen.machine.progress import say, track

_DIGEST_BYTES = hashlib.sha256().digest_size


def has_shards(note: sampled.Note) -> bool:
    """Whether the images of a note are in shards."""
    return any(file_of(name) != name for name in note.classes)


def open_shards(root: str, note: sampled.Note, classes: Sequence[str] = ()) -> Source:
    """Opens the images of a note, in the order in which they were drawn.

    Every shard is read once. Its images are ours if it has the digest of the note, and are not
    decoded; so duplicates among them are not known.

    Args:
      root: the folder.
      note: whose images are in shards.
      classes: read only the images of these classes; () for all. Labels do not change.

    Raises:
      UserError: a shard that is missing or changed, an image or shard that the note does not list,
        or a missing class in `classes`.
    """
    folder, names = pathlib.Path(root), list(note.classes)
    if others := _others(folder, note):
        say(f"Left out: {len(others):,} images or shards of earlier requests in {root}.")
    class_names = tuple(sorted(set(note.classes.values())))
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers[note.classes[name]] for name in names], np.int32)
    places, digests = _look_into(folder, names, note)

    def load(index: int) -> np.ndarray:
        start, size = places[index].tolist()
        path = folder / file_of(names[index])
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if hashlib.sha256(content).digest() != digests[index].tobytes():
            raise OSError(f"{path} has changed since the run began")
        return codec.decode(content)

    digest = digest_of("\0".join(names), digests, labels)
    source = Source(str(folder), class_names, labels, load, digest)
    if not classes:
        return source
    return source.subset(np.flatnonzero(np.isin(labels, labels_of(classes, class_names, root))))


def _others(folder: pathlib.Path, note: sampled.Note) -> list[str]:
    """Returns the images and shards of earlier requests; UserError if some are of nobody."""
    kinds = {*codec.EXTENSIONS, EXTENSION}
    known = {*map(file_of, note.classes), *sampled.NO_SAMPLES}
    files = (path.name for path in folder.iterdir() if path.suffix.lower() in kinds)
    others = sorted(name for name in files if name not in known and not name.startswith("."))
    foreign = [name for name in others if name not in (note.digests or {})]
    if foreign:
        raise UserError(
            f"{folder} holds {len(foreign):,} file{'s' * (len(foreign) != 1)} that its "
            f"{sampled.FILE} does not list (such as {shown(os.fsencode(foreign[0]))}): move them "
            "elsewhere."
        )
    return others


def _look_into(
    folder: pathlib.Path, names: Sequence[str], note: sampled.Note
) -> tuple[np.ndarray, np.ndarray]:
    """Returns start and size (n, 2) of images in their shards, and their SHA-256 (n, 32)."""
    places = np.zeros((len(names), 2), np.int64)
    digests = np.zeros((len(names), _DIGEST_BYTES), np.uint8)
    rows_of = collections.defaultdict(list)
    for row, name in enumerate(names):
        rows_of[file_of(name)].append(row)
    for file, rows in track(rows_of.items(), total=len(rows_of), label="checking shards"):
        path = folder / file
        content = path.read_bytes() if path.is_file() else b""
        if (note.digests or {}).get(file) != hashlib.sha256(content).hexdigest():
            raise UserError(
                f"{path} is missing, or has changed after {sampled.FILE} was written: generate the "
                "images again in another folder."
            )
        found = places_in(content)
        for row in rows:
            start, size = places[row] = found[names[row].partition("/")[2]]
            digest = hashlib.sha256(content[start : start + size]).digest()
            digests[row] = np.frombuffer(digest, np.uint8)
    return places, digests
