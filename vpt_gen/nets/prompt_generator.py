"""The prompt token generator: the only part that prompt tuning trains.

Source: Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer. The released design is the class-conditional, additive one
with a single factor; parameter names and shapes are the released ones.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.maskgit import LAYER_NORM_EPSILON

_embedding_init = nn.initializers.truncated_normal(0.02)


class PromptGenerator(nn.Module):
    """Class ids (B,) -> prompt tokens (B, S, D).

    h = LN(e_c + e_s), then Dense to `hidden_size` where that is not None, then dropout. Without
    the Dense layer, `feature_size` P is the transformer's width D itself.
    """

    num_classes: int
    num_prompt_tokens: int = 32
    feature_size: int = 768
    hidden_size: int | None = None
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, class_ids: jax.Array, deterministic: bool = True) -> jax.Array:
        condition = self._condition(class_ids)
        position = self._embed("prompt_position_embeddings", self.num_prompt_tokens)(
            jnp.arange(self.num_prompt_tokens)
        )
        x = condition[:, None, :] + position[None, :, :]
        x = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name="prompt_embeddings_ln")(x)
        if self.hidden_size is not None:
            x = nn.Dense(self.hidden_size, name="prompt_embedding_hidden_mapping")(x)
        return nn.Dropout(self.dropout_rate)(x, deterministic)

    def _condition(self, class_ids: jax.Array) -> jax.Array:
        """What the prompt is for, (B, P)."""
        return self._embed("prompt_embeddings", self.num_classes)(class_ids)

    def _embed(self, name: str, size: int) -> nn.Embed:
        return nn.Embed(size, self.feature_size, embedding_init=_embedding_init, name=name)
