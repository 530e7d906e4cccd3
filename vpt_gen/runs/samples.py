"""The common part of all samplers: conditions of images, their keys, and the result.

Image j of a condition (class c, training instance i or none) has a key derived from seed, c, i and
j: it does not depend on the other images.
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vpt_gen.machine.progress import track
from vpt_gen.nets.prompt_generator import NO_INSTANCE


@dataclasses.dataclass(frozen=True)
class Samples:
    """Generated images.

    Attributes:
      images: (n, H, W, 3) float32 in [0, 1].
      tokens: (n, N) int32.
      revealed_at: (n, N) int32, the iteration (NAR) or step (AR) that fixed each token.
      class_ids: (n,).
    """

    images: np.ndarray
    tokens: np.ndarray
    revealed_at: np.ndarray
    class_ids: np.ndarray


def class_bank(class_ids: Sequence[int] | np.ndarray, headers: Sequence[int] = ()) -> np.ndarray:
    """Makes the marquee bank (n, M, 2) of classes, with header classes first.

    A bank's entries are pairs (class, training instance or `NO_INSTANCE`); an image's last entry is
    its own condition.
    """
    bank = np.full((len(class_ids), len(headers) + 1, 2), NO_INSTANCE, np.int32)
    bank[:, :-1, 0] = np.array(headers, np.int32)
    bank[:, -1, 0] = np.asarray(class_ids, np.int32)
    return bank


def gather(stream: Iterator[Samples], count: int) -> Samples:
    """Collects a stream of `count` images, with progress."""
    parts = []
    with track(total=count, label="sampling") as bar:
        for part in stream:
            parts.append(part)
            bar.update(len(part.images))
    return joined(parts)


def joined(parts: Sequence[Samples]) -> Samples:
    """Returns the images of several batches, one after the other."""
    names = [field.name for field in dataclasses.fields(Samples)]
    return Samples(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def image_keys(conditions: np.ndarray, seed: int, numbers: np.ndarray | None = None) -> jax.Array:
    """Returns keys (n,) of conditions (n, 2): the k-th occurrence of one gets its key k.

    Args:
      conditions: classes and training instances.
      seed: of all keys.
      numbers: (n,), k of each image, if it is not to be counted.
    """
    if numbers is None:
        numbers = occurrences(conditions)

    def key(condition, number):
        key = jax.random.key(seed)
        # The shift maps `NO_INSTANCE` to 0, which fold_in accepts.
        for part in (condition[0], condition[1] - NO_INSTANCE, number):
            key = jax.random.fold_in(key, part)
        return key

    return jax.vmap(key)(jnp.asarray(conditions), jnp.asarray(numbers, jnp.int32))


def occurrences(conditions: np.ndarray) -> np.ndarray:
    """Counts each of conditions (n, 2) among those that are equal to it: 0, 1, ... (n,)."""
    seen: collections.Counter = collections.Counter()
    numbers = []
    for condition in map(tuple, conditions.tolist()):
        numbers.append(seen[condition])
        seen[condition] += 1
    return np.array(numbers)


def wanted_or_all(wanted: np.ndarray | None, bank: np.ndarray) -> np.ndarray:
    """Returns which images of a bank are wanted, (n,): all if `wanted` is None."""
    return np.ones(len(bank), bool) if wanted is None else wanted


class Sampler(Protocol):
    """Draws images from a run's trained parameters.

    Attributes:
      options: of decoding, for the record of a generation.
      batch_size: images at a time.
      images_at_a_time: those of a batch of `stream`, a multiple of what the devices share.
      has_prompts: whether prompts are the condition, so that marquees apply.
      has_tokens: whether images are drawn token by token.
      token_grid: height and width at which an image's tokens are shown, (1, N) if they have no
        places in it; (0, 0) if there are none.
      mesh: devices.
    """

    @property
    def options(self) -> dict[str, Any]: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def images_at_a_time(self) -> int: ...

    @property
    def has_tokens(self) -> bool: ...

    @property
    def token_grid(self) -> tuple[int, int]: ...

    @property
    def has_prompts(self) -> bool: ...

    @property
    def mesh(self) -> Mesh: ...

    def counts(self, params: Any) -> tuple[int, int]:
        """Returns the numbers of trained and of frozen parameters."""

    def stream(
        self,
        params: Any,
        bank: np.ndarray,
        seed: int,
        weights: np.ndarray | None = None,
        wanted: np.ndarray | None = None,
        known: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> Iterator[Samples]:
        """Generates them batch by batch; see `TokenSampler.stream`."""

    def with_options(self, **options: Any) -> Self:
        """Returns the sampler with other options of decoding."""


def draw(
    sampler: Sampler, params: Any, bank: np.ndarray, seed: int, weights: np.ndarray | None = None
) -> Samples:
    """Generates n images of the conditions in a bank (n, M, 2) at once, with progress."""
    return gather(sampler.stream(params, bank, seed, weights), len(bank))
