"""Use of Orbax directories in which a failure is one error, without other output."""

import asyncio
import contextlib
import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")


class UnreadableError(Exception):
    """A directory is damaged; the message says why in a few words."""


def attempt(read: Callable[[], Result]) -> Result:
    """Returns the result of a read; raises UnreadableError for every error of it."""
    with quiet():
        try:
            return read()
        except UnreadableError:
            raise
        except Exception as error:  # Orbax and its dependencies report damage by many errors.
            reason = (str(error).splitlines() or [""])[0][:200]
            fault = f"{type(error).__name__}: {reason}"
        gc.collect()  # The error holds the reads that were given up.
    raise UnreadableError(fault)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops the tracebacks of work that Orbax gives up: after a damaged array, or on a full disk.

    Some parts end after the event loop is closed, and report that; others are never waited for.
    """
    policy, hook = asyncio.get_event_loop_policy(), sys.unraisablehook

    def other(unraisable: "sys.UnraisableHookArgs") -> None:
        if not inspect.iscoroutine(unraisable.object):
            hook(unraisable)

    asyncio.set_event_loop_policy(_PatientPolicy())
    sys.unraisablehook = other
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(policy)
        sys.unraisablehook = hook


class _PatientLoop(asyncio.SelectorEventLoop):
    """Ignores what other threads report after it was closed."""

    # The base class's own annotation needs variadic generics.
    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        with contextlib.suppress(RuntimeError):
            return super().call_soon_threadsafe(callback, *args, context=context)


class _PatientPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _PatientLoop()
