"""Stopping between two updates when SIGINT (Ctrl-C) or SIGTERM (a preemption) asks for it.

Of several processes perhaps one is asked, and the others may be an update ahead or behind. So each
hands in its signal with every update, the update takes the largest, and all read the result
`_LAG` updates later, when it has long been computed: they stop after the same update, and no
device waits. A stop takes up to `_LAG` + 1 updates that way; a process that trains alone stops
after the update under way.
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
    """The run was asked to stop, and its state is saved; the exit code is 128 + the signal."""


def largest(signals: jax.Array) -> jax.Array:
    """The signal that counts of those handed in; a part of the update."""
    return jnp.max(signals)


class StopSignal:
    """Notes SIGINT and SIGTERM; a context manager that puts the handlers back at its end."""

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
        """This process's signal (0 for none), once for each of its devices; an array over all."""
        noted = self._noted
        if noted not in self._handed_in:
            self._handed_in[noted] = jax.make_array_from_callback(
                (self._sharding.mesh.size,), self._sharding, lambda _: np.array([noted], np.int32)
            )
        return self._handed_in[noted]

    def asked(self, result: jax.Array) -> int:
        """The signal to stop for, or 0; alike in all processes.

        Args:
          result: what `largest` gave in this update.
        """
        if self._alone:
            return self._noted
        self._results.append(result)
        return int(self._results.popleft()) if len(self._results) > _LAG else 0

    def _note(self, number, unused_frame):
        if self._noted and number == signal.SIGINT:  # Asked twice, by a person: stop at once.
            raise KeyboardInterrupt
        self._noted = self._noted or number
