"""The prompt token generator: the only part that prompt tuning trains.

Source: Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer. The released design is the class-conditional, additive one;
its parameter names and shapes are kept. Instance conditions, factors and the full table are our
reading of the paper's idea: its full text was not at hand.
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.layout import named
from vpt_gen.nets.maskgit import LAYER_NORM_EPSILON

NO_INSTANCE = -1
DESIGNS = ("additive", "factorized", "full")

_embedding_init = nn.initializers.truncated_normal(0.02)


class PromptGenerator(nn.Module):
    """Conditions (B,) -> prompt tokens (B, S, D).

    With the condition's embedding e_c (class, instance, or the sum of both), the position's e_s,
    both of width P for each of F factors:

    - additive: h = LN(e_c + e_s); F = 1. The released design.
    - factorized: h = LN(sum_f e_c[f] * e_s[f]), a rank-F factorization of the full table.
    - full: h = LN(table[c]), a row (S, P) of its own for every condition.

    Then Dense to `hidden_size` if that is not None, then dropout. Without the Dense layer,
    `feature_size` P is the transformer's width D itself.

    Attributes:
      num_classes: C; 0 for prompts without class conditions.
      num_prompt_tokens: S.
      feature_size: P.
      hidden_size: D, or None.
      dropout_rate: of the prompts, in training.
      design: one of `DESIGNS`.
      num_factors: F, for the factorized design.
      num_instances: I, training examples with an embedding of their own; 0 for none.
      instance_dropout: with classes and instances, the share of training examples that drop the
        instance, so that sampling by class alone also works.
    """

    num_classes: int
    num_prompt_tokens: int = 32
    feature_size: int = 768
    hidden_size: int | None = None
    dropout_rate: float = 0.1
    design: str = "additive"
    num_factors: int = 1
    num_instances: int = 0
    instance_dropout: float = 0.5

    @nn.compact
    def __call__(
        self,
        class_ids: jax.Array | None = None,
        instance_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Prompts (B, S, D).

        Args:
          class_ids: (B,) in [0, C); None if the generator has no classes.
          instance_ids: (B,) in [0, I); `NO_INSTANCE`, or None: the class alone.
          deterministic: no dropout of prompts or instances.

        Raises:
          ValueError: an unknown design, or a condition that the generator does not have.
        """
        self._check(class_ids, instance_ids)
        condition = self._condition(class_ids, instance_ids, deterministic)
        if self.design == "full":
            x = condition.reshape(-1, self.num_prompt_tokens, self.feature_size)
        else:
            shape = (self._num_factors, self.feature_size)
            position = self._embed("prompt_position_embeddings", self.num_prompt_tokens)(
                jnp.arange(self.num_prompt_tokens)
            ).reshape(1, -1, *shape)
            condition = condition.reshape(-1, 1, *shape)
            if self.design == "additive":
                x = (condition + position)[:, :, 0]
            else:
                x = (condition * position).sum(axis=2)
        x = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name="prompt_embeddings_ln")(x)
        if self.hidden_size is not None:
            x = nn.Dense(self.hidden_size, name="prompt_embedding_hidden_mapping")(x)
        return named(nn.Dropout(self.dropout_rate)(x, deterministic), "batch")

    @property
    def _num_factors(self) -> int:
        return self.num_factors if self.design == "factorized" else 1

    def _check(self, class_ids, instance_ids):
        if self.design not in DESIGNS:
            raise ValueError(f"Design {self.design!r} is not one of {', '.join(DESIGNS)}.")
        if self.num_classes and class_ids is None:
            raise ValueError("These prompts need class ids.")
        if instance_ids is None and not self.num_classes:
            raise ValueError("These prompts have instances only and need instance ids.")
        if instance_ids is not None and not self.num_instances:
            raise ValueError("These prompts have no instances.")

    def _condition(self, class_ids, instance_ids, deterministic) -> jax.Array:
        """Returns the condition's embedding: (B, F * P), or (B, S * P) from full tables."""
        of_class: jax.Array | float = 0.0
        if self.num_classes:
            of_class = self._embed("prompt_embeddings", self.num_classes)(class_ids)
        if instance_ids is None:
            return cast(jax.Array, of_class)  # `_check` then requires classes.
        kept = instance_ids != NO_INSTANCE
        if self.num_classes and not deterministic:
            share = 1.0 - self.instance_dropout
            kept &= jax.random.bernoulli(self.make_rng("dropout"), share, kept.shape)
        table = self._embed("prompt_instance_embeddings", self.num_instances)
        return of_class + jnp.where(kept[:, None], table(jnp.maximum(instance_ids, 0)), 0.0)

    def _embed(self, name: str, size: int) -> nn.Embed:
        width = self.num_prompt_tokens if self.design == "full" else self._num_factors
        return nn.Embed(size, width * self.feature_size, embedding_init=_embedding_init, name=name)


def init_params(generator: PromptGenerator, key: jax.Array) -> Any:
    """Initializes the parameters of all conditions."""
    zero = jnp.zeros((1,), jnp.int32)
    class_ids = zero if generator.num_classes else None
    instance_ids = zero if generator.num_instances else None
    return generator.init(key, class_ids, instance_ids)["params"]


def num_parameters(generator: PromptGenerator) -> int:
    """Counts the parameters that prompt tuning trains, without allocating them."""
    made = jax.eval_shape(lambda key: init_params(generator, key), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(made))
