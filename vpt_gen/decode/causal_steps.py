"""The steps of autoregressive decoding: each runs one input per image and draws the next token.

Keys and values are kept in a cache of fixed size, which begins with those of the prefix. Guidance
needs a second sequence per image, without the condition.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp

from vpt_gen.nets.transformer import MASK_TOKEN_ID, CausalTransformer
from vpt_gen.nets.transposed import for_loops

# Axis of a cache's arrays; if layers are stacked, their axis comes before it.
_BATCH = -4
# Of products that compute what conditions add to tokens: enough to be fast, and few to keep.
_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Model:
    """A transformer with its parameters, and the conditions of a batch.

    Attributes:
      net: the transformer.
      params: its parameters.
      class_ids: (P,), or None.
      rows: (B,) in [0, P), the condition of every image; None: image i has the i-th.
      in_loop: gives the parameters in the loop over tokens; None: they are `params` there, too.
    """

    net: CausalTransformer
    params: Any
    class_ids: jax.Array | None
    rows: jax.Array | None
    in_loop: Callable[[], Any] | None = None

    def for_steps(self, sequences: int) -> Self:
        """Returns the model prepared for steps of so many sequences."""
        in_loop = for_loops(self.net, self.params, sequences)
        return dataclasses.replace(self, in_loop=in_loop)

    def step(self, x: Any, cache: Any, position: jax.Array) -> tuple[jax.Array, Any]:
        """Runs one input of each sequence: returns logits (B, 1, K) and the cache with it."""
        params = self.params if self.in_loop is None else self.in_loop()
        return self.net.apply({"params": params}, x, cache, position, method="run")

    def call(self, method: str, *arguments: Any, **given: Any) -> Any:
        """Calls a method of the net."""
        return self.net.apply({"params": self.params}, *arguments, method=method, **given)

    def prefix(self, conditions: dict[str, jax.Array]) -> tuple[Any, int]:
        """Returns the prefix of prompts and vectors (P, ...), and the position of z_0."""
        return self.call("prefix", class_ids=self.class_ids, **conditions)

    def cache_of(self, x: Any) -> Any:
        """Returns the keys and values of embedded positions that are a whole sequence."""
        return self.call("hidden_states", x)[1]

    def embed(self, tokens: jax.Array, position: jax.Array | int, of_place: Any) -> Any:
        """Returns the inputs of tokens (B,) at one position, with what the condition adds there."""
        x = self.call("embed", tokens[:, None], position)
        return self.net.conditioned(x, of_place)

    def of_images(self, tree: Any, axis: int = 0) -> Any:
        """Selects the entry of each image's condition: (P, ...) -> (B, ...)."""
        rows = self.rows
        return tree if rows is None else jax.tree.map(lambda x: jnp.take(x, rows, axis), tree)

    def prefill(self, prefix: Any, first: int, known: jax.Array) -> tuple[Any, Any]:
        """Runs known tokens after their prefix, in one forward pass.

        Args:
          prefix: of each image, or of all of them.
          first: position of z_0.
          known: (B, F), z_0 to z_F-1, F > 0.

        Returns:
          The input of the last of them, which predicts z_F, and a cache of all before it.
        """
        prefix, last = _repeated(prefix, len(known)), known.shape[1] - 1
        x = self.net.joined(prefix, self.call("embed", known[:, :-1], first))
        of_places = self.call("of_places", prefix, jnp.array([last]))
        return self.embed(known[:, -1], first + last, _first(of_places)), self.cache_of(x)


@dataclasses.dataclass(frozen=True)
class Unconditional:
    """The sequence without a condition, which guidance leads away from; the same for all images.

    Attributes:
      model: the transformer that guidance leads away from.
      prefix: what stands before its tokens.
      first: position of z_0.
      cache: of the prefix.
      x: the prefix's last position, the input that predicts z_0.
      of_places: what its tokens have at each place, (T, N / T, ...), see `CausalNet.of_places`.
      paired: whether it is decoded in the batch of the images, each behind its own: if its prefix
        takes as many positions, and the parameters are the same. Otherwise it is decoded next to
        them.
      scales: (N,), of guidance for each token.
    """

    model: Model
    prefix: Any
    first: int
    cache: Any
    x: Any
    of_places: Any
    paired: bool
    scales: jax.Array

    @property
    def length(self) -> int:
        """Positions of the prefix in a cache."""
        return cache_length(self.cache)

    def guided(self, logits: jax.Array, alone: jax.Array, n: jax.Array) -> jax.Array:
        """Returns the guided logits of token n, from those with and without the condition."""
        return logits + self.scales[n] * (logits - alone)


@dataclasses.dataclass(frozen=True)
class Steps:
    """What all steps share.

    Attributes:
      model: the transformer and the conditions.
      keys: (B,), one per image.
      num_conditions: P.
      first: position of z_0.
      length: positions of the prefix in a cache.
      draw: (keys, logits (B, K)) -> tokens (B,).
      unconditional: for guidance, or None.
      stretches: how many, each with a condition of its own.

    The carry of a scan is the next input, the cache, and both of the unconditional sequence if it
    is decoded next to the images, else None.
    """

    model: Model
    keys: jax.Array
    num_conditions: int
    first: int
    length: int
    draw: Callable[[jax.Array, jax.Array], jax.Array]
    unconditional: Unconditional | None
    stretches: int = 1

    @property
    def _paired(self) -> bool:
        return self.unconditional is not None and self.unconditional.paired

    def begin(self, prefix: Any, num_tokens: int, known: jax.Array | None) -> tuple[Any, Any, Any]:
        """Returns the carry before token F is drawn, after known ones (B, F) or None."""
        other, count = self.unconditional, len(self.keys)
        filled, x_alone, alone = None, other and other.x, other and other.cache
        if known is None:
            # The prefix's last position is run again as the first input: all steps are alike.
            x = self.model.of_images(self.model.call("first_input", prefix))
        else:
            x, filled = self.model.prefill(self._at_images(prefix), self.first, known)
            if other is not None:
                x_alone, alone = other.model.prefill(other.prefix, other.first, known)
        without = None
        if other is not None and not other.paired:
            cache = self._empty_cache(count, other.length + num_tokens - 1)
            without = _repeated(x_alone, count), _without_batch(_filled(cache, alone))
        cache = self._empty_cache(count * (1 + self._paired), self.length + num_tokens - 1)
        if filled is not None:
            cache = _filled(cache, self._pair(filled, alone, _BATCH))
        return self._pair(x, x_alone), cache, without

    def stretch(self, carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
        """Draws the tokens of a stretch (N / T, B), whose prompts replace those before them."""
        x, cache, without = carry
        conditions, positions, of_nothing, kept = inputs
        other = self.unconditional
        prefix, _ = self.model.prefix(conditions)
        fresh = self.model.of_images(self.model.cache_of(prefix), _BATCH)
        fresh = self._pair(fresh, other and other.cache, _BATCH)
        if self.stretches > 1:
            x = self._of_stretch(x, prefix, positions[:1] - 1)
        carry = x, _without_batch(_filled(cache, fresh)), without
        at_once = self._places_at_once(prefix, len(positions))
        parts = jax.tree.map(
            lambda x: x.reshape(-1, at_once, *x.shape[1:]), (positions, of_nothing, kept)
        )

        def part(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
            positions, of_nothing, kept = inputs
            of_places = self.model.call("of_places", prefix, positions)
            return jax.lax.scan(self._step, carry, (positions, of_places, of_nothing, kept))

        (x, cache, without), tokens = jax.lax.scan(part, carry, parts)
        return (x, _with_batch(cache), without), tokens.reshape(len(positions), -1)

    def _of_stretch(self, x: Any, prefix: Any, place: jax.Array) -> Any:
        """Returns the input that predicts a stretch's first token with what its condition adds."""
        other = self.unconditional
        added = self._at_images(_first(self.model.call("of_places", prefix, place)))
        if other is not None and other.paired:
            nothing = _first(other.model.call("of_places", other.prefix, place))
            added = self._pair(added, nothing)
        return self.model.net.conditioned(x, added)

    def _places_at_once(self, prefix: Any, count: int) -> int:
        """Returns for how many of `count` places, a divisor, to keep what the conditions add."""

        def of_place(prefix: Any) -> Any:
            return self.model.call("of_places", prefix, jnp.zeros(1, jnp.int32))

        kept = jax.tree.leaves(jax.eval_shape(of_place, prefix))
        rows = max((x.shape[1] for x in kept), default=1)
        most = max(_ROWS // rows, 1) if kept else count
        return max(n for n in range(1, most + 1) if count % n == 0)

    def _step(self, carry, inputs):
        """Draws token n, unless it is kept, and embeds it as the next input."""
        x, cache, without = carry
        n, of_place, of_nothing, kept = inputs
        logits, cache = self.model.step(x, cache, self.length - 1 + n)
        logits, other_cache = self._guided(logits, without, n)
        keys = jax.vmap(jax.random.fold_in, (0, None))(self.keys, n)
        token = self.draw(keys, logits[:, 0])
        if kept is not None:
            token = jnp.where(kept == MASK_TOKEN_ID, token, kept)
        given = jnp.repeat(token, 2) if self._paired else token
        place = self._pair(self._at_images(of_place), of_nothing)
        x = self.model.embed(given, self.first + n, place)
        other = self.unconditional
        if other is not None and not other.paired:
            without = other.model.embed(token, other.first + n, of_nothing), other_cache
        return (x, cache, without), token

    def _guided(self, logits, without, n):
        """Returns logits (B, 1, K), guided if asked for, and the cache of the other sequence."""
        other = self.unconditional
        if other is None:
            return logits, None
        if other.paired:
            return other.guided(logits[::2], logits[1::2], n), None
        x, cache = without
        alone, cache = other.model.step(x, cache, other.length - 1 + n)
        return other.guided(logits, alone, n), cache

    def _at_images(self, tree: Any) -> Any:
        """What each image has, from what each condition has, or all of them alike."""
        return self.model.of_images(_repeated(tree, self.num_conditions))

    def _pair(self, tree: Any, others: Any, axis: int = 0) -> Any:
        return _in_pairs(tree, others, axis) if self._paired else tree

    def _empty_cache(self, batch: int, length: int) -> Any:
        return self.model.call("empty_cache", batch, length)


def cache_length(cache: Any) -> int:
    """Counts the positions of a cache, or of its shapes."""
    return jax.tree.leaves(cache)[0].shape[-2]


def _filled(cache: Any, beginning: Any) -> Any:
    """Replaces the first positions of a cache by those of a shorter one."""
    places = cache_length(beginning)
    return jax.tree.map(lambda old, new: old.at[..., :places, :].set(new), cache, beginning)


def _first(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[0], tree)


def _repeated(tree: Any, count: int) -> Any:
    """Arrays (1, ...) for all of a batch; those of `count` stay."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape[1:])), tree)


def _in_pairs(tree: Any, others: Any, axis: int) -> Any:
    """Puts the corresponding one of the others behind each of a batch.

    Devices that share the batch have both of a pair.
    """

    def pair(x: jax.Array, other: jax.Array) -> jax.Array:
        place = axis % x.ndim
        both = jnp.stack([x, jnp.broadcast_to(other, x.shape)], axis=place + 1)
        return both.reshape(*x.shape[:place], -1, *x.shape[place + 1 :])

    return jax.tree.map(pair, tree, others)


def _without_batch(cache: Any) -> Any:
    """Drops a batch axis of 1: XLA on a CPU copies a (1, H, L, E) four times per token."""
    single = isinstance(cache, list) and len(cache[0].keys) == 1
    return jax.tree.map(lambda x: x[0], cache) if single else cache


def _with_batch(cache: Any) -> Any:
    """The inverse of `_without_batch`."""
    single = isinstance(cache, list) and cache[0].keys.ndim == 3
    return jax.tree.map(lambda x: x[None], cache) if single else cache
