"""The note that `vpt_gen.sample` leaves beside its images: the class of each, and what made them.

The note lets a flat folder of samples be read with its classes, and be measured with the whole
record of how it came to be.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from vpt_gen.errors import UserError
from vpt_gen.machine.files import write_text

FILE = "samples.json"


def write(folder: epath.Path, classes: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Writes the note.

    Args:
      folder: of the images.
      classes: file name -> class name.
      record: of the generation.
    """
    note = {"classes": dict(classes), "record": dict(record)}
    write_text(epath.Path(folder) / FILE, json.dumps(note, indent=1))


def read(folder: str | os.PathLike) -> tuple[dict[str, str], dict[str, Any]] | None:
    """What `write` was given; None where the folder has no note.

    Raises:
      UserError: a note that cannot be read.
    """
    path = epath.Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text())
        return dict(note["classes"]), dict(note["record"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error}); generate the images anew, or delete it to read them "
            "without their classes."
        ) from error
