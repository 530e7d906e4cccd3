"""Whole runs of a decoder without a net: logits by a formula, and the noise of each iteration."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.halton import reveal_counts
from vpt_gen.decode.iterative import Predictions
from vpt_gen.nets.transformer import MASK_TOKEN_ID as MASK

B, N, K = 3, 12, 7


def wavy(tokens, sharpness=2.0):
    """Logits (B, N, K) that depend on all tokens, so that a wrong one shows in all later ones."""
    sums = jnp.sum(tokens * (jnp.arange(N) + 1), axis=-1)[:, None, None]
    return sharpness * jnp.sin(0.1 * sums * jnp.arange(1, K + 1) + jnp.arange(N)[:, None])


@functools.partial(jax.jit, static_argnames=("decoder", "logits_fn"))
def _program(decoder, logits_fn, keys, known):
    class WithoutNet(type(decoder)):
        def predictions(self, given):
            return Predictions(lambda tokens, stage: logits_fn(tokens), None, None)

    given = Given(None, None, keys, N, None, None, None, known=known)
    return WithoutNet(**dataclasses.asdict(decoder)).decode(given)


def run(decoder, known=None, logits_fn=wavy):
    """The decoder's tokens and order, as NumPy arrays; by default nothing is known."""
    known = nothing_known() if known is None else known
    return tuple(map(np.asarray, _program(decoder, logits_fn, keys(), known)))


@functools.cache
def keys():
    return jax.random.split(jax.random.key(5), B)


def keys_of(iteration, parts=1):
    """The keys of an iteration: (B,), or (parts, B)."""
    made = [jax.random.fold_in(key, iteration) for key in keys()]
    if parts == 1:
        return jnp.stack(made)
    return jnp.stack([jnp.stack(x) for x in zip(*map(jax.random.split, made), strict=True)])


def gumbel(keys, *shape):
    return np.stack([jax.random.gumbel(key, shape) for key in keys])


def uniform(keys, *shape):
    return np.stack([jax.random.uniform(key, shape) for key in keys])


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def logits_of(tokens):
    return np.asarray(wavy(jnp.asarray(tokens)), np.float64)


def image_by_image(known, num_iterations, write):
    """Whole runs in NumPy: tokens, and the iteration that wrote each.

    Args:
      known: (B, N) at the start.
      num_iterations: T.
      write: (tokens (B, N), image, iteration, count) -> the places and tokens to write, `count` by
        the cosine schedule.
    """
    tokens = np.array(known)
    revealed_at = np.full(tokens.shape, -1)
    for image in range(B):
        unknown = (tokens[image] == MASK).sum()
        counts = np.diff([0, *reveal_counts(unknown, num_iterations, "cosine")])
        for t, count in enumerate(counts):
            for place, token in write(tokens, image, t, count).items():
                tokens[image, place], revealed_at[image, place] = token, t
    return tokens, revealed_at


def some_known():
    known = np.full((B, N), MASK, np.int32)
    known[1, :5] = [0, 1, 2, 3, 4]
    known[2, 3:] = 6
    return known


def nothing_known():
    return np.full((B, N), MASK, np.int32)
