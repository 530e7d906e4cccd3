"""The prompt token generator: the only part that prompt tuning trains.

Source: Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer. The released design is the class-conditional, additive one;
its parameter names and shapes are kept. Instance conditions, factors and the full table are our
reading of the paper's idea: its full text was not at hand.
"""

from collections.abc import Callable
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

    With `vector`, one more token comes last: a vector for nets that one modulates. It starts at
    zero, so that the net starts without a class, and has neither norm nor dropout: a table of its
    own, or (factorized) sum_f LN(e_c)[f] * e_v[f] with a learned e_v; then Dense without bias.

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
      vector: whether there is a vector; with it, S may be 0.
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
    vector: bool = False

    @nn.compact
    def __call__(
        self,
        class_ids: jax.Array | None = None,
        instance_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Prompts (B, S, D), or (B, S + 1, D) with the vector.

        Args:
          class_ids: (B,) in [0, C); None if the generator has no classes.
          instance_ids: (B,) in [0, I); `NO_INSTANCE`, or None: the class alone.
          deterministic: no dropout of prompts or instances.

        Raises:
          ValueError: an unknown design, or a condition that the generator does not have.
        """
        self._check(class_ids, instance_ids)
        kept = self._kept_instances(instance_ids, deterministic)
        tables = "prompt_embeddings", "prompt_instance_embeddings"
        condition, tokens = None, []
        if self.num_prompt_tokens or self.design == "factorized":
            condition = self._condition(tables, self._embed, class_ids, instance_ids, kept)
        if self.num_prompt_tokens:
            tokens.append(self._prompts(condition, deterministic))
        if self.vector and self.design == "factorized":
            tokens.append(self._factorized_vector(condition))
        elif self.vector:
            tables = "prompt_vector_embeddings", "prompt_vector_instance_embeddings"
            vector = self._condition(tables, self._zeros, class_ids, instance_ids, kept)
            tokens.append(self._to_width(vector))
        return named(jnp.concatenate(tokens, axis=1), "batch")

    def _prompts(self, condition, deterministic: bool) -> jax.Array:
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
        return nn.Dropout(self.dropout_rate)(x, deterministic)

    def _factorized_vector(self, condition) -> jax.Array:
        shape = (-1, self._num_factors, self.feature_size)
        factors = self._zeros("prompt_vector_factors", 1)(jnp.zeros(1, jnp.int32))
        # As large as in a table: the embeddings are small.
        norm = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, use_bias=False, use_scale=False)
        return self._to_width((norm(condition.reshape(shape)) * factors.reshape(shape)).sum(axis=1))

    def _to_width(self, vector: jax.Array) -> jax.Array:
        """A vector (B, P) as a token (B, 1, D)."""
        if self.hidden_size is not None:
            name = "prompt_vector_hidden_mapping"
            vector = nn.Dense(self.hidden_size, use_bias=False, name=name)(vector)
        return vector[:, None]

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

    def _kept_instances(self, instance_ids, deterministic: bool) -> jax.Array | None:
        """Returns which examples keep their instance (B,), or None if there are none."""
        if instance_ids is None:
            return None
        kept = instance_ids != NO_INSTANCE
        if self.num_classes and not deterministic:
            share = 1.0 - self.instance_dropout
            kept &= jax.random.bernoulli(self.make_rng("dropout"), share, kept.shape)
        return kept

    def _condition(
        self,
        names: tuple[str, str],
        table: Callable[[str, int], nn.Embed],
        class_ids: jax.Array | None,
        instance_ids: jax.Array | None,
        kept: jax.Array | None,
    ) -> jax.Array:
        """Returns the condition's embedding: the sum of a class's and an instance's row.

        Args:
          names: of the tables of classes and of instances.
          table: makes one, of a name and a number of rows.
          class_ids: (B,), or None.
          instance_ids: (B,), or None.
          kept: see `_kept_instances`.
        """
        of_class: jax.Array | float = 0.0
        if self.num_classes:
            of_class = table(names[0], self.num_classes)(class_ids)
        if instance_ids is None or kept is None:
            return cast(jax.Array, of_class)  # `_check` then requires classes.
        of_instance = table(names[1], self.num_instances)(jnp.maximum(instance_ids, 0))
        return of_class + jnp.where(kept[:, None], of_instance, 0.0)

    def _embed(self, name: str, size: int) -> nn.Embed:
        """A table of rows (F * P,), or (S * P,) of the full design."""
        width = self.num_prompt_tokens if self.design == "full" else self._num_factors
        return nn.Embed(size, width * self.feature_size, embedding_init=_embedding_init, name=name)

    def _zeros(self, name: str, size: int) -> nn.Embed:
        """A table of the vector's rows (F * P,), which start at zero."""
        width = self._num_factors * self.feature_size
        return nn.Embed(size, width, embedding_init=nn.initializers.zeros, name=name)


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
