"""The deterministic tf.data pipeline: batch t depends only on (seed, t)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vpt_gen.data.lazy import tf
from vpt_gen.data.preprocess import Augmentation, preprocess
from vpt_gen.data.shares import pass_shares
from vpt_gen.data.source import Batch, Source
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import say

# Unreadable examples in a row after which the run stops: the disk is probably lost.
MAX_REPLACED = 10


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """How images become squares of one size; see `preprocess`."""

    size: int
    fit: str
    augmentation: Augmentation = Augmentation()


class _Reader:
    """Reads examples inside of tf.data; errors there are raised outside of it."""

    def __init__(self, source: Source, replace: bool):
        """Reads examples of `source`.

        Args:
          source: examples.
          replace: whether an unreadable example is replaced by the next readable one.
        """
        self._source = source
        self._attempts = 1 + MAX_REPLACED if replace else 1
        self._replaced: set[int] = set()
        self._failures: list[str] = []

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the image uint8 (H, W, 3) of an example, and the number of the example read."""
        image, index = tf.numpy_function(self._load, [index], (tf.uint8, tf.int64))
        return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(index, ())

    def _load(self, index):
        for number in range(int(index), int(index) + self._attempts):
            number %= len(self._source)
            try:
                return self._source.load(number), np.int64(number)
            except Exception as error:  # TensorFlow would hide it in three tracebacks of its own.
                reason = f"{self._source.name}: example {number} cannot be read: {error}"
            if self._attempts > 1 and number not in self._replaced:
                self._replaced.add(number)
                say(f"{reason}; it is replaced by the next one ({len(self._replaced)} so far).")
        self._failures.append(reason)
        return np.zeros((1, 1, 3), np.uint8), np.int64(index)

    def iterate(self, dataset: tf.data.Dataset) -> Iterator:
        """Yields the elements of a dataset that reads.

        Raises:
          UserError: an unreadable image, at its element or a little before.
        """
        for element in dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
            if self._failures:
                raise UserError(self._failures[0])
            yield element


def prepare(image: tf.Tensor, spec: ImageSpec, seed: int, position: tf.Tensor) -> tf.Tensor:
    """Prepares a training image, with the augmentation of its position in a stream.

    Args:
      image: uint8 (H, W, 3).
      spec: its size R and augmentation.
      seed: of the stream.
      position: int64 (), in the stream.

    Returns:
      float32 (R, R, 3) in [0, 1].
    """
    key = tf.stack([tf.constant(seed, tf.int64), position])
    return preprocess(image, spec.size, spec.fit, spec.augmentation, key)


def _in_parallel(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    """Maps a dataset, in order."""
    # AutoGraph would rewrite Python conditions on tensors. There are none, and it takes 1.5 s per
    # start.
    plain = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(plain, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _batches(
    source: Source, spec: ImageSpec, draws: tf.data.Dataset, *, seed: int, size: int
) -> Iterator[Batch]:
    """Makes batches of examples from `draws`: positions in a stream, and the index at each.

    A long run does not stop because of one file: an image that has become unreadable is reported,
    and replaced by the next one, with its own label and index.
    """
    reader = _Reader(source, replace=True)

    def example(position, index):
        image, index = reader.read(index)
        return {
            "image": prepare(image, spec, seed, position),
            "label": tf.gather(tf.constant(source.labels, tf.int32), index),
            "index": tf.cast(index, tf.int32),
        }

    return reader.iterate(_in_parallel(draws, example).batch(size))


def _shuffled(n: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function of positions in the stream (b,) int64 that gives the indices there."""

    # Not TensorFlow's index_shuffle, which ignores most bits of its seed: orders repeat.
    @functools.lru_cache(maxsize=2)  # a batch may span two epochs
    def permutation(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(n)

    def indices_at(positions: np.ndarray) -> np.ndarray:
        return np.array([permutation(p // n)[p % n] for p in positions.tolist()], np.int64)

    return indices_at


def train_batches(
    source: Source,
    spec: ImageSpec,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    rows: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Yields endless shuffled batches, from that of update `start_step` on.

    Every epoch is a new permutation of the source; example j of the stream has its own
    augmentation. `rows` are the rows of the global batch that this process needs; None for all.

    Yields:
      image float32 (B, R, R, 3) in [0, 1], label int32 (B,), index int32 (B,).
    """
    n = len(source)
    rows = np.arange(batch_size) if rows is None else rows

    indices_at = _shuffled(n, seed)

    def draw(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        positions = step * batch_size + rows.astype(np.int64)
        return positions, indices_at(positions)

    @tf.autograph.experimental.do_not_convert
    def draws_of(step: tf.Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(draw, [step], (tf.int64, tf.int64))
        shape = (len(rows),)
        return tf.data.Dataset.from_tensor_slices(tuple(tf.ensure_shape(x, shape) for x in drawn))

    draws = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max).flat_map(draws_of)
    return _batches(source, spec, draws, seed=seed, size=len(rows))


def eval_batches(source: Source, spec: ImageSpec, *, batch_size: int) -> Iterator[Batch]:
    """Yields one pass in order, without augmentation; the last batch may be smaller."""
    plain = dataclasses.replace(spec, augmentation=Augmentation())
    draws = _in_order(np.arange(len(source)))
    return _batches(source, plain, draws, seed=0, size=batch_size)


def eval_shares(
    source: Source, spec: ImageSpec, *, batch_size: int, rows: np.ndarray
) -> Iterator[Batch]:
    """Yields the `rows` of `eval_batches`, all of one size; `valid` bool (B,) marks padding."""
    shares = list(pass_shares(len(source), batch_size, rows))
    plain = dataclasses.replace(spec, augmentation=Augmentation())
    draws = _in_order(np.concatenate([indices for indices, _ in shares]))
    batches = _batches(source, plain, draws, seed=0, size=len(rows))
    for batch, (_, valid) in zip(batches, shares, strict=True):
        yield batch | {"valid": valid}


def _in_order(indices: np.ndarray) -> tf.data.Dataset:
    """Returns draws of these indices, each at its own position."""
    indices = indices.astype(np.int64)
    return tf.data.Dataset.from_tensor_slices((indices, indices))


def view_stream(
    source: Source, spec: ImageSpec, indices: np.ndarray, *, views: int, seed: int
) -> Iterator[np.ndarray]:
    """Yields all views of each example of `indices` (int64), float32 (V, R, R, 3), in order.

    View v of example i is augmented by (seed, v, i). Each image is decoded once and must be
    readable, because the result is stored under the source's name.
    """
    reader = _Reader(source, replace=False)
    n = len(source)

    def all_views(index):
        image, _ = reader.read(index)
        return tf.map_fn(
            lambda position: prepare(image, spec, seed, position),
            index + n * tf.range(views, dtype=tf.int64),
            fn_output_signature=tf.float32,
        )

    dataset = tf.data.Dataset.from_tensor_slices(indices)
    return reader.iterate(_in_parallel(dataset, all_views))


def image_stream(source: Source, indices: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the images of `indices` (int64), unchanged, uint8 (H, W, 3); each must be readable."""
    reader = _Reader(source, replace=False)
    dataset = tf.data.Dataset.from_tensor_slices(indices)
    return reader.iterate(_in_parallel(dataset, lambda index: reader.read(index)[0]))
