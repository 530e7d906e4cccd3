"""The rows of a global batch that a process reads for its devices.

`rows` are their numbers in every batch (`sharding.process_rows`).
"""

from collections.abc import Iterator

import numpy as np


def pass_shares(
    num_examples: int, batch_size: int, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields one pass in order, batch by batch: a process's examples, and which are valid (bool).

    Every batch is full: the last one is padded with copies of the last example, which are not
    valid.
    """
    for start in range(0, num_examples, batch_size):
        positions = start + rows
        yield np.minimum(positions, num_examples - 1), positions < num_examples
