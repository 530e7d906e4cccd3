"""Training objectives of transformers: masked tokens (NAR) or the next token (AR)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vpt_gen.nets.additions import each_with_its_own
from vpt_gen.nets.transformer import NO_CLASS, TokenTransformer
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
      distilled_guidance: scale w of guidance that the conditions learn to have by themselves; see
        `without_guidance`.
    """

    net: TokenTransformer
    label_smoothing: float
    mask_schedule: str | None = None
    distilled_guidance: float = 0.0

    def examples(self, tokens: jax.Array, key: jax.Array) -> Examples:
        """Makes examples of tokens (B, N); for NAR, the key draws the mask of each."""
        if self.net.family == "ar":
            tokens = self.net.to_sequence(tokens)
            return Examples(tokens, tokens, jnp.ones(tokens.shape, jnp.float32))
        assert self.mask_schedule is not None
        masked, weights = losses.draw_masks(key, tokens, self.mask_schedule)
        return Examples(masked, tokens, weights)

    def losses(
        self,
        params: Params,
        examples: Examples,
        *,
        source: Params | None = None,
        dropout_key: jax.Array | None = None,
        additions: Any = None,
        **conditions: jax.Array | None,
    ) -> jax.Array:
        """Computes the losses (B,) of examples.

        Args:
          params: the transformer's parameters.
          examples: inputs and targets.
          source: the pretrained ones, if guidance is distilled.
          dropout_key: of the transformer's dropout; None for none.
          additions: tree of arrays (B, ...), what each example adds to the parameters, see
            `nets/additions.py`; None for nothing. They go without dropout.
          conditions: prompts (B, S, D), class_ids (B,) and others that the net takes.
        """

        def logits_of(params: Params, inputs: jax.Array, conditions: Any) -> Any:
            return self.net.apply(
                {"params": params},
                inputs,
                **conditions,
                deterministic=dropout_key is None,
                rngs=None if dropout_key is None else {"dropout": dropout_key},
            )

        if additions is None:
            logits = logits_of(params, examples.inputs, conditions)
        else:
            logits = each_with_its_own(logits_of, params, additions, examples.inputs, conditions)
        if self.distilled_guidance:
            nothing = jnp.full(len(examples.inputs), NO_CLASS)
            unconditional = self.net.apply({"params": source}, examples.inputs, class_ids=nothing)
            logits = without_guidance(logits, unconditional, self.distilled_guidance)
        return losses.masked_cross_entropy(
            logits, examples.targets, examples.weights, self.label_smoothing
        )

    def __call__(self, params: Params, tokens: jax.Array, key: jax.Array, **conditions):
        """Computes the losses (B,) of tokens (B, N)."""
        return self.losses(params, self.examples(tokens, key), **conditions)


def without_guidance(logits: jax.Array, unconditional: jax.Array, scale: float) -> jax.Array:
    """Returns the conditional logits whose guided ones are `logits`.

    Guidance of a scale w (`decode.iterative.Guided`) draws from (1 + w) c - w u, for conditional
    logits c and unconditional logits u. If a condition's logits s are trained by the loss of
    (s + w u) / (1 + w), that becomes c, and s the guided logits: drawing by guidance then takes
    one pass through the net instead of two. Guidance-free training (arXiv 2501.15420), with the
    source as the unconditional model, as in DogFit (arXiv 2508.05685).

    Args:
      logits: (B, N, K), s.
      unconditional: (B, N, K), u, without a gradient.
      scale: w.
    """
    return (logits + scale * jax.lax.stop_gradient(unconditional)) / (1 + scale)
