"""Progress with an ETA for everything that takes more than a few seconds."""

import functools
import sys
import threading
from collections.abc import Iterable

from tqdm import tqdm

from vpt_gen.machine.printable import one_line, printable

_quiet = False
# By default tqdm makes a lock for several processes, which none of ours need, at the first message.
tqdm.set_lock(threading.RLock())


def be_quiet() -> None:
    """Turns all output off from here on: of several processes only one prints."""
    global _quiet
    _quiet = True


def track(
    iterable: Iterable | None = None,
    *,
    total: int | None,
    label: str,
    initial: int = 0,
    in_bytes: bool = False,
    delay: float = 0.0,
) -> tqdm:
    """Makes a tqdm bar on stderr; if that is a log file instead of a terminal, a line every 10 s.

    Nothing is shown for work that ends within `delay` seconds.
    """
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=one_line(label),
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=True,
        unit="B" if in_bytes else "it",
        unit_scale=in_bytes,
        unit_divisor=1000,
        delay=delay,
        disable=_quiet,
    )


def say(message: str) -> None:
    """Prints text for the user on stdout without breaking a progress bar; see `printable`."""
    if not _quiet:
        tqdm.write(printable(message))
        sys.stdout.flush()


@functools.cache
def say_once(message: str) -> None:
    """Prints what is found again and again in one process only the first time."""
    say(message)
