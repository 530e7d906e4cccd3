"""The note that `vpt_gen.sample` leaves beside its images: the class of each, and what made them.

The note lets a flat folder of samples be read with its classes, and be measured with the whole
record of how it came to be. It comes after all images; until then the folder has a mark that says
how many of which request are there.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from vpt_gen.errors import UserError
from vpt_gen.machine.files import write_text

FILE = "samples.json"
UNFINISHED = ".samples.unfinished.json"


def begin(folder: epath.Path, request: str) -> int:
    """Marks a folder as unfinished; a note that it has is of other images and goes.

    Args:
      folder: for the images.
      request: names what is being drawn.

    Returns:
      How many of the request's images were written before it was interrupted; 0 if the folder is
      finished or another request's.
    """
    mark = epath.Path(folder) / UNFINISHED
    try:
        started = json.loads(mark.read_text())
        if started["request"] == request:
            return int(started["done"])
    except (OSError, KeyError, TypeError, ValueError):
        pass  # None there, or one that says nothing: everything is drawn.
    # The mark comes first: between the two the folder is not taken for finished.
    advance(folder, request, 0)
    (epath.Path(folder) / FILE).unlink(missing_ok=True)
    return 0


def advance(folder: epath.Path, request: str, done: int) -> None:
    """Notes that the first `done` images of a request are written."""
    mark = {"request": request, "done": done}
    write_text(epath.Path(folder) / UNFINISHED, json.dumps(mark))


def write(folder: epath.Path, classes: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Writes the note, and so finishes the folder.

    Args:
      folder: of the images.
      classes: file name -> class name.
      record: of the generation.
    """
    note = {"classes": dict(classes), "record": dict(record)}
    write_text(epath.Path(folder) / FILE, json.dumps(note, indent=1))
    (epath.Path(folder) / UNFINISHED).unlink(missing_ok=True)


def read(folder: str | os.PathLike) -> tuple[dict[str, str], dict[str, Any]] | None:
    """What `write` was given; None if the folder has no note.

    Raises:
      UserError: a note that cannot be read, or images that are not all drawn.
    """
    path = epath.Path(folder) / FILE
    if (mark := path.with_name(UNFINISHED)).is_file():
        raise UserError(
            f"The samples in {folder} are unfinished, as vpt_gen.sample was interrupted: give its "
            f"command again, or delete {mark} to read the images that are there."
        )
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text())
        return dict(note["classes"]), dict(note["record"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error}); generate the images again, or delete it to read them "
            "without their classes."
        ) from error
