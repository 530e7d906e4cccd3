"""The note that `vpt_gen.sample` writes next to its images: their classes and generation record.

With the note, a flat folder of samples is read with its classes, and measured with the whole record
of its generation. The note has a digest of each file, and is written after all of them
(`machine/manifest.py`): an image that is missing, changed or not listed is an error.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from vpt_gen.data.shards import EXTENSION, file_of
from vpt_gen.errors import UserError
from vpt_gen.images.grids import STRIP
from vpt_gen.machine import json_files
from vpt_gen.machine.manifest import FILES, Manifest, mark_of
from vpt_gen.machine.progress import say

FILE = "samples.json"
# Pictures of all samples, which lie next to the images and are none of them.
PICTURES = ("grid.png", "trace.png")
# With the one of `vpt_gen.evaluate --output`, which may be the same folder.
NO_SAMPLES = (*PICTURES, STRIP)


@dataclasses.dataclass(frozen=True)
class Note:
    """The content of a note.

    Attributes:
      classes: name -> class name, of each image: a file, or in a shard (`shards.py`).
      record: of the generation.
      digests: file name -> SHA-256, hexadecimal, of each image or shard, the pictures, and images
        of earlier requests; None in notes of older versions.
    """

    classes: Mapping[str, str]
    record: Mapping[str, Any]
    digests: Mapping[str, str] | None


def open_manifest(
    folder: epath.Path, names: Sequence[str], request: str = "", flag: str = "--output"
) -> Manifest:
    """Returns what writes images and their note; see `Manifest`."""
    return Manifest(epath.Path(folder) / FILE, names, _files_before, request, flag)


def _files_before(note: Mapping[str, Any]) -> list[str]:
    """Returns the files of a note of an older version, which listed the images alone."""
    return [*note["classes"], *PICTURES]


def finish(manifest: Manifest, classes: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Writes the note, which finishes the folder; see `Note`."""
    manifest.finish({"classes": dict(classes), "record": dict(record)})


def read(folder: str | os.PathLike) -> Note | None:
    """Reads the note; None if the folder has none, or one of another program.

    Raises:
      UserError: an unreadable note, or an unfinished folder.
    """
    path = epath.Path(folder) / FILE
    if (mark := mark_of(path)).is_file():
        # Shards cannot be read without a note.
        has_shards = any(path.parent.glob(f"*{EXTENSION}"))
        instead = "" if has_shards else f", or delete {mark} to read the existing images"
        raise UserError(
            f"The samples in {folder} are unfinished, because the program that draws them was "
            f"interrupted: run the same command again{instead}."
        )
    if not path.is_file():
        return None
    cure = (
        "generate the images again in another folder, or delete it to read them without their "
        "classes"
    )
    note = json_files.read_object(path, cure)
    if note and not {"classes", "record"} & note.keys():
        say(f"{path} is of another program: images are read without it.")
        return None
    if fault := json_files.fault_of(note, {"classes": dict, "record": dict}):
        raise json_files.DamagedFileError(path, fault, cure)
    digests = note.get(FILES)
    if not all(isinstance(name, str) for name in note["classes"].values()):
        raise json_files.DamagedFileError(path, "a class is not text", cure)
    if digests is not None and not (
        isinstance(digests, dict) and digests.keys() >= set(map(file_of, note["classes"]))
    ):
        raise json_files.DamagedFileError(path, "an image has no digest", cure)
    return Note(note["classes"], note["record"], digests)
