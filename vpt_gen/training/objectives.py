"""Training objectives of transformers: masked tokens (NAR) or the next token (AR)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vpt_gen.nets.additions import each_with_its_own
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training import losses
from vpt_gen.training.state import Params


class Examples(NamedTuple):
    """What a transformer is given, and what it predicts.

    Attributes:
      inputs: (B, N) input tokens, masked or not.
      targets: (B, N) tokens.
      weights: (B, N), 1.0 for tokens in the loss.
    """

    inputs: jax.Array
    targets: jax.Array
    weights: jax.Array


@dataclasses.dataclass(frozen=True)
class Objective:
    """A transformer's objective: the losses (B,) of parameters on tokens.

    Attributes:
      net: the transformer.
      label_smoothing: see `losses.masked_cross_entropy`.
      mask_schedule: defines the distribution of mask rates; NAR only.
    """

    net: TokenTransformer
    label_smoothing: float
    mask_schedule: str | None = None

    def examples(self, tokens: jax.Array, key: jax.Array) -> Examples:
        """Makes examples of tokens (B, N); for NAR, the key draws the mask of each."""
        if self.net.family == "ar":
            tokens = self.net.to_sequence(tokens)
            return Examples(tokens, tokens, jnp.ones(tokens.shape, jnp.float32))
        assert self.mask_schedule is not None
        masked, weights = losses.draw_masks(key, tokens, self.mask_schedule)
        return Examples(masked, tokens, weights)

    def losses(self, params: Params, examples: Examples, **conditions) -> jax.Array:
        """Computes the losses (B,) of examples; for `conditions` see `token_losses`."""
        return token_losses(self.net, params, *examples, self.label_smoothing, **conditions)

    def __call__(self, params: Params, tokens: jax.Array, key: jax.Array, **conditions):
        """Computes the losses (B,) of tokens (B, N)."""
        return self.losses(params, self.examples(tokens, key), **conditions)


def token_losses(
    net: TokenTransformer,
    params: Params,
    inputs: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    label_smoothing: float,
    *,
    dropout_key: jax.Array | None = None,
    additions: Any = None,
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
      additions: tree of arrays (B, ...), what each example adds to the parameters, see
        `nets/additions.py`; None for nothing. They go without dropout.
      conditions: prompts (B, S, D), class_ids (B,) and others that the net takes.
    """

    def logits_of(params: Params, inputs: jax.Array, conditions: Any) -> jax.Array:
        return net.apply(
            {"params": params},
            inputs,
            **conditions,
            deterministic=dropout_key is None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
        )

    if additions is None:
        logits = logits_of(params, inputs, conditions)
    else:
        logits = each_with_its_own(logits_of, params, additions, inputs, conditions)
    return losses.masked_cross_entropy(logits, targets, weights, label_smoothing)
