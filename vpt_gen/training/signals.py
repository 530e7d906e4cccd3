"""Stops between two updates after SIGINT (Ctrl-C) or SIGTERM (a preemption).

Perhaps only one of several processes gets the signal, and the others may be an update ahead or
behind. So each process passes its signal into every update, the update computes the largest, and
all read the result `_LAG` updates later, when it is certainly available: they stop after the same
update, and no device waits. A stop takes up to `_LAG` + 1 updates; a single process stops after the
current update.
"""

import collections
import signal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vpt_gen.machine.sharding import AXES

_LAG = 2


class Interrupted(SystemExit):
    """A signal stopped the run, and its state is saved; the exit code is 128 + the signal."""


def largest(signals: jax.Array) -> jax.Array:
    """Returns the largest of the signals passed in; a part of the update."""
    return jnp.max(signals)


class StopSignal:
    """Records SIGINT and SIGTERM; a context manager that restores the handlers at its end."""

    def __init__(self, mesh: Mesh):
        self._noted = 0
        self._alone = jax.process_count() == 1
        self._sharding = NamedSharding(mesh, PartitionSpec(AXES))
        self._handed_in: dict[int, jax.Array] = {}
        self._results: collections.deque[jax.Array] = collections.deque()

    def __enter__(self):
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *unused):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def hand_in(self) -> jax.Array:
        """Returns this process's signal (0 for none) in an array over all devices."""
        noted = self._noted
        if noted not in self._handed_in:
            self._handed_in[noted] = jax.make_array_from_callback(
                (self._sharding.mesh.size,), self._sharding, lambda _: np.array([noted], np.int32)
            )
        return self._handed_in[noted]

    def asked(self, result: jax.Array) -> int:
        """Returns the signal to stop for, or 0; the same in all processes.

        Args:
          result: of `largest` in this update.
        """
        if self._alone:
            return self._noted
        self._results.append(result)
        return int(self._results.popleft()) if len(self._results) > _LAG else 0

    def _note(self, number, unused_frame):
        if self._noted and number == signal.SIGINT:  # A second Ctrl-C: stop at once.
            raise KeyboardInterrupt
        self._noted = self._noted or number
