"""Training objectives of transformers: masked tokens (NAR) or the next token (AR).

An objective is a pure function
`(params, tokens, key, dropout_key=None, **conditions) -> losses (B,)`, with the conditions of
`methods/method.py`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training import losses
from vpt_gen.training.state import Params

Objective = Callable[..., jax.Array]


def make_objective(
    net: TokenTransformer, label_smoothing: float, mask_schedule: str | None = None
) -> Objective:
    """Makes the objective of a transformer's family.

    Args:
      net: the transformer.
      label_smoothing: see `losses.masked_cross_entropy`.
      mask_schedule: defines the distribution of mask rates; NAR only.
    """
    if net.family == "ar":
        return _next_token(net, label_smoothing)
    assert mask_schedule is not None
    return _masked_tokens(net, label_smoothing, mask_schedule)


def _masked_tokens(net: TokenTransformer, label_smoothing: float, mask_schedule: str) -> Objective:
    """Cross-entropy of the masked tokens; `key` draws the mask of every example."""

    def objective(params: Params, tokens, key, **conditions):
        masked, weights = losses.draw_masks(key, tokens, mask_schedule)
        return token_losses(net, params, masked, tokens, weights, label_smoothing, **conditions)

    return objective


def _next_token(net: TokenTransformer, label_smoothing: float) -> Objective:
    """Cross-entropy of every token given those before it; `key` is not needed."""

    def objective(params: Params, tokens, key, **conditions):
        del key
        tokens = net.to_sequence(tokens)
        weights = jnp.ones(tokens.shape, jnp.float32)
        return token_losses(net, params, tokens, tokens, weights, label_smoothing, **conditions)

    return objective


def token_losses(
    net: TokenTransformer,
    params: Params,
    inputs: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    label_smoothing: float,
    *,
    dropout_key: jax.Array | None = None,
    **conditions: jax.Array | None,
) -> jax.Array:
    """Computes the losses (B,) of a transformer on given inputs.

    Args:
      net: the transformer.
      params: its parameters.
      inputs: (B, N) input tokens, masked or not.
      targets: (B, N) tokens.
      weights: (B, N), 1.0 for tokens in the loss.
      label_smoothing: see `losses.masked_cross_entropy`.
      dropout_key: of the transformer's dropout; None for none.
      conditions: prompts (B, S, D), class_ids (B,) and others that the net takes.
    """
    logits = net.apply(
        {"params": params},
        inputs,
        **conditions,
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return losses.masked_cross_entropy(logits, targets, weights, label_smoothing)
