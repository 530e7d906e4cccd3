"""Messages about a folder of images: what is left out, what it holds, what looks wrong."""

import itertools
import os

from vpt_gen.data.folders.checked import index_path
from vpt_gen.data.folders.listing import Names, shown
from vpt_gen.data.folders.splits import is_split_name
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say

# Files to print, of one kind; more are counted, and listed in a file.
NAMED = 20
_NAMED_CLASSES = 10


def tell(
    root: str,
    names: Names,
    counts: dict[str, int],
    left_out: list[tuple[bytes, str]],
    remarks: list[tuple[bytes, str]],
) -> None:
    """Prints the messages.

    Args:
      root: the folder.
      names: of the files to read.
      counts: class -> number of its files.
      left_out: files, and why they are not read.
      remarks: files that are read, and what is unexpected about them.
    """
    _tell_each(root, "Left out", left_out)
    _tell_each(root, "Note", remarks)
    _sum_up(root, counts, len(left_out))
    _doubt_classes(root, counts, names)


def _tell_each(root: str, about: str, files: list[tuple[bytes, str]]) -> None:
    """Prints the first files of a list of names and reasons, and counts the others."""
    # The lines are also written to a file as UTF-8, which a folder's name may not be.
    folder = shown(os.fsencode(root))
    lines = [f"{about}: {os.path.join(folder, shown(name))} ({reason})" for name, reason in files]
    for line in lines[:NAMED]:
        say(line)
    if len(lines) > NAMED:
        suffix = "." + about.lower().replace(" ", "_") + ".txt"
        whole = index_path(root).with_suffix(suffix)
        try:
            write_text(whole, "\n".join(lines) + "\n")
            say(f"... and {len(lines) - NAMED:,} more; the whole list: {whole}")
        except OSError as error:
            say(f"... and {len(lines) - NAMED:,} more ({whole}: {error.strerror})")


def _sum_up(root: str, counts: dict[str, int], left_out: int) -> None:
    """Prints a line of counts and one of classes, in which a wrong folder is easy to recognize."""
    good = sum(counts.values())
    say(
        f"{good:,} image{'s' * (good != 1)} in {len(counts):,} class{'es' * (len(counts) != 1)}, "
        f"{left_out:,} left out: {root}"
    )
    classes = [f"{name} ({n:,})" for name, n in itertools.islice(counts.items(), _NAMED_CLASSES)]
    more = len(counts) - len(classes)
    say(f"Classes: {', '.join(classes)}" + f", and {more:,} more" * (more > 0))


def _doubt_classes(root: str, counts: dict[str, int], names: Names) -> None:
    """Warns if the classes look like something else, such as splits."""
    splits = [name for name in counts if is_split_name(name)]
    if len(counts) > 1 and len(splits) > len(counts) / 2:
        which = (
            "These classes" if len(splits) == len(counts) else f"The classes {', '.join(splits)}"
        )
        say(
            f"{which} are named like splits: if they are splits, set config.data.path to one of "
            f"them, such as {os.path.join(root, splits[0])}."
        )
    elif len(counts) == 1 and names and all(name.count(b"/") > 1 for name in names):
        say(
            "All images are in folders inside of one class folder: if these are the classes, set "
            f"config.data.path to {os.path.join(root, next(iter(counts)))}."
        )
