"""Stopping between two updates when SIGINT (Ctrl-C) or SIGTERM (a preemption) asks for it."""

import signal


class Interrupted(SystemExit):
    """The run was asked to stop, and its state is saved; the exit code is 128 + the signal."""


class StopSignal:
    """Notes SIGINT and SIGTERM, so that the loop can stop between two updates."""

    def __init__(self):
        self.signal = 0

    def __enter__(self):
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *unused):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, unused_frame):
        if self.signal:  # Asked twice: stop at once.
            raise KeyboardInterrupt
        self.signal = number
