"""Which tokens an autoregressive step may draw: temperature, top-k, top-p.

Source: `top_k_top_p_filtering` of Hugging Face transformers 4.3.1, as Taming Transformers uses it.
"""

import jax
import jax.numpy as jnp


def top_k_filter(logits: jax.Array, k: int) -> jax.Array:
    """Sets logits (..., V) below the k-th largest to -inf; ties with it stay. 0 changes nothing."""
    if k <= 0 or k >= logits.shape[-1]:
        return logits
    largest, places = jax.lax.top_k(logits, k)
    kept = logits >= largest[..., -1:]
    # A compiled program may compute logits twice, and round them differently: the k-th would then
    # be smaller than itself.
    kept = jnp.put_along_axis(kept, places, True, axis=-1, inplace=False)
    return jnp.where(kept, logits, -jnp.inf)


def top_p_filter(logits: jax.Array, p: float) -> jax.Array:
    """Sets logits (..., V) to -inf outside the likeliest tokens that together exceed probability p.

    The token that crosses p stays, so at least one always does. p = 1 changes nothing.
    """
    if p >= 1.0:
        return logits
    order = jnp.argsort(logits, axis=-1, descending=True)
    probabilities = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1))
    reached = jnp.cumsum(probabilities, axis=-1)
    # Shifted instead of subtracting a token from its sum: rounding must not decide ties at p.
    kept = jnp.concatenate([jnp.ones_like(reached[..., :1], bool), reached[..., :-1] <= p], axis=-1)
    kept = jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1)
    return jnp.where(kept, logits, -jnp.inf)


def filter_logits(logits: jax.Array, temperature: float, top_k: int, top_p: float) -> jax.Array:
    """Divides by the temperature (> 0), then filters by top-k, then by top-p of what is left."""
    return top_p_filter(top_k_filter(logits / temperature, top_k), top_p)
