"""The shards of a token cache as arrays on disk, of which a bounded number is open at a time."""

import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from vpt_gen.data.tokens import shards as token_shards
from vpt_gen.errors import UserError

# Open shards of one cache. Each needs a file descriptor, and a process may have 1024 by default:
# for two caches (training and evaluation), the files of a source, and all else.
MOST_OPEN = 128


class MappedShards:
    """Arrays of `shards.record_type` by number; the least recently used are closed first.

    Threads may share it. A cache of at most `MOST_OPEN` shards stays open as a whole, so that
    it can be read even after its files were deleted.
    """

    def __init__(self, paths: Sequence[pathlib.Path], views: int, num_tokens: int):
        """Opens every shard once.

        Args:
          paths: of the shards, in order.
          views: V of each record.
          num_tokens: N of each record.

        Raises:
          ValueError: the records of a shard have another number of views or tokens.
        """
        self._paths = paths
        # No bound method: a cycle of references would keep the files open until it is collected.
        self._map = functools.lru_cache(MOST_OPEN)(
            lambda number: token_shards.map_shard(paths[number], views, num_tokens)
        )
        for number, path in enumerate(paths):
            token_shards.check_shape(path, views, num_tokens)
            self._map(number)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> np.ndarray:
        """Returns the records (n,) of a shard, which close it when they are deleted.

        Raises:
          UserError: the shard has been deleted or replaced since the cache was opened.
        """
        try:
            return self._map(number)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"Token shard {self._paths[number]} cannot be opened again: {reason}. It was "
                "deleted, or its disk is lost; start again when the disk is there."
            ) from error

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))
