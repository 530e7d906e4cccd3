"""The deterministic tf.data pipeline: what batch t holds depends on (seed, t) alone."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
import tensorflow as tf

from vpt_gen.data.preprocess import Augmentation, preprocess
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError

# TensorFlow only reads and prepares images: a GPU's memory is for JAX.
tf.config.set_visible_devices([], "GPU")

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """How images become squares of one size; see `preprocess`."""

    size: int
    fit: str
    augmentation: Augmentation = Augmentation()


def _batches(
    source: Source, spec: ImageSpec, positions: tf.data.Dataset, order, *, seed: int, size: int
) -> Iterator[Batch]:
    """Batches of examples from positions in a stream; `order` gives each position's index.

    Raises:
      UserError: an image that cannot be read, in the batch that it belongs to or a little before.
    """
    failures = []

    def load(index):
        try:
            return source.load(int(index))
        except Exception as error:  # TensorFlow would bury it in three of its own tracebacks.
            failures.append(f"{source.name}: example {index} cannot be read: {error}")
            return np.zeros((1, 1, 3), np.uint8)

    def example(position):
        index = order(position)
        image = tf.ensure_shape(tf.numpy_function(load, [index], tf.uint8), (None, None, 3))
        key = tf.stack([tf.constant(seed, tf.int64), position])
        return {
            "image": preprocess(image, spec.size, spec.fit, spec.augmentation, key),
            "label": tf.gather(tf.constant(source.labels, tf.int32), index),
            "index": tf.cast(index, tf.int32),
        }

    dataset = positions.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    for batch in dataset.batch(size).prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        if failures:
            raise UserError(failures[0])
        yield batch


def train_batches(
    source: Source, spec: ImageSpec, *, batch_size: int, seed: int, start_step: int = 0
) -> Iterator[Batch]:
    """Endless shuffled batches, from the one of update `start_step` on.

    Every epoch is a fresh permutation of the source; example j of the stream has its own
    augmentation. With several processes, each gets its rows of the global batch.

    Yields:
      image float32 (B, R, R, 3) in [0, 1], label int32 (B,), index int32 (B,).
    """
    n = len(source)
    local = batch_size // jax.process_count()
    first = jax.process_index() * local

    def order(position):
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), position // n])
        return tf.random.experimental.index_shuffle(position % n, epoch_seed, n - 1)

    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    rows = tf.range(first, first + local, dtype=tf.int64)
    positions = steps.flat_map(
        lambda step: tf.data.Dataset.from_tensor_slices(step * batch_size + rows)
    )
    return _batches(source, spec, positions, order, seed=seed, size=local)


def view_batches(
    source: Source, spec: ImageSpec, *, batch_size: int, views: int, seed: int
) -> Iterator[Batch]:
    """`views` passes in order, each augmented afresh; the last batch may be smaller."""
    n = len(source)
    positions = tf.data.Dataset.range(views * n)
    return _batches(
        source, spec, positions, lambda position: position % n, seed=seed, size=batch_size
    )


def eval_batches(source: Source, spec: ImageSpec, *, batch_size: int) -> Iterator[Batch]:
    """One pass in order, without augmentation; the last batch may be smaller."""
    plain = dataclasses.replace(spec, augmentation=Augmentation())
    return view_batches(source, plain, batch_size=batch_size, views=1, seed=0)
