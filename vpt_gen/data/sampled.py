"""The note that `vpt_gen.sample` writes next to its images: their classes and generation record.

With the note, a flat folder of samples is read with its classes, and measured with the whole record
of its generation. The note is written after all images; until then a mark in the folder says how
many images of which request are there.
"""

import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from vpt_gen.errors import UserError
from vpt_gen.machine import json_files
from vpt_gen.machine.files import write_json

FILE = "samples.json"
UNFINISHED = ".samples.unfinished.json"


def begin(folder: epath.Path, request: str) -> int:
    """Marks a folder as unfinished; deletes a note, which is about other images.

    Args:
      folder: for the images.
      request: identifies the images.

    Returns:
      The number of the request's images written before an interruption; 0 if the folder is finished
      or of another request.
    """
    mark = epath.Path(folder) / UNFINISHED
    try:
        started = json_files.read_object(mark, "", {"request": str, "done": int})
        if started["request"] == request and started["done"] >= 0:
            return started["done"]
    except json_files.DamagedFileError:
        pass  # No mark, or an unreadable one: everything is drawn.
    # The mark is written first, so that the folder never looks finished in between.
    advance(folder, request, 0)
    (epath.Path(folder) / FILE).unlink(missing_ok=True)
    return 0


def advance(folder: epath.Path, request: str, done: int) -> None:
    """Notes that the first `done` images of a request are written."""
    mark = {"request": request, "done": done}
    write_json(epath.Path(folder) / UNFINISHED, mark)


def write(folder: epath.Path, classes: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Writes the note, which finishes the folder.

    Args:
      folder: of the images.
      classes: file name -> class name.
      record: of the generation.
    """
    note = {"classes": dict(classes), "record": dict(record)}
    write_json(epath.Path(folder) / FILE, note)
    (epath.Path(folder) / UNFINISHED).unlink(missing_ok=True)


def read(folder: str | os.PathLike) -> tuple[dict[str, str], dict[str, Any]] | None:
    """Reads the note; None if the folder has none.

    Raises:
      UserError: an unreadable note, or an unfinished folder.
    """
    path = epath.Path(folder) / FILE
    if (mark := path.with_name(UNFINISHED)).is_file():
        raise UserError(
            f"The samples in {folder} are unfinished, because vpt_gen.sample was interrupted: give "
            f"its command again, or delete {mark} to read the existing images."
        )
    if not path.is_file():
        return None
    cure = "generate the images again, or delete it to read them without their classes"
    note = json_files.read_object(path, cure, {"classes": dict, "record": dict})
    if not all(isinstance(name, str) for name in note["classes"].values()):
        raise json_files.DamagedFileError(path, "a class is not text", cure)
    return note["classes"], note["record"]
