"""Messages about a folder of images: what is left out, what it holds, what looks wrong."""

import itertools
import os

from vpt_gen.data.folders import splits as split_folders
from vpt_gen.data.folders.checked import index_path
from vpt_gen.data.folders.listing import Names, shown
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say

# Left-out files to print; more are counted, and listed in a file.
NAMED = 20
_NAMED_CLASSES = 10


def tell(
    root: str, names: Names, counts: dict[str, int], left_out: list[tuple[bytes, str]]
) -> None:
    """Prints the messages.

    Args:
      root: the folder.
      names: of the files to read.
      counts: class -> number of its files.
      left_out: file -> why it is not read.
    """
    _tell_left_out(root, left_out)
    _sum_up(root, counts, len(left_out))
    _doubt_classes(root, counts, names)


def _tell_left_out(root: str, left_out: list[tuple[bytes, str]]) -> None:
    """Prints the first left-out files, and counts the others."""
    lines = [f"Left out: {os.path.join(root, shown(name))} ({reason})" for name, reason in left_out]
    for line in lines[:NAMED]:
        say(line)
    if len(lines) > NAMED:
        whole = index_path(root).with_suffix(".left_out.txt")
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
    if len(counts) > 1 and all(name.lower() in split_folders.NAMES for name in counts):
        say(
            "These classes are named like splits: if they are splits, set config.data.path to one "
            f"of them, such as {os.path.join(root, next(iter(counts)))}."
        )
    elif len(counts) == 1 and names and all(name.count(b"/") > 1 for name in names):
        say(
            "All images are in folders inside of one class folder: if these are the classes, set "
            f"config.data.path to {os.path.join(root, next(iter(counts)))}."
        )
