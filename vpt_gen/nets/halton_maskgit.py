"""Halton-MaskGIT's transformer: bidirectional, and modulated by the class in every layer (adaLN).

Source: Besnier et al., arXiv 2503.17076, and valeoai/Halton-MaskGIT, `Network/transformer.py`.

A sequence holds N visual tokens, then registers, then prompts. Neither registers nor prompts have
positions, and all positions attend to each other, so that the order of prompts has no influence.
A class has no token: its vector modulates all layers and the last norm. While prompts are the
condition, that vector is the one of no class, which pretraining gave to a tenth of the images and
which guidance leads away from; a vector per condition may be added to it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from vpt_gen.nets.additions import own_or_added
from vpt_gen.nets.layers import sum_type, wide_product
from vpt_gen.nets.layout import named
from vpt_gen.nets.maskgit import Bias
from vpt_gen.nets.modulated_layers import (
    BiasedRMSNorm,
    ModulatedLayer,
    Modulation,
    kernel_init,
)
from vpt_gen.nets.stack import STACKED, rematerialized, scan_layers
from vpt_gen.nets.transformer import (
    GATE,
    MASK_TOKEN_ID,
    NO_CLASS,
    LayerParts,
    MaskedTransformer,
    Matrix,
    rows_modulo,
)
from vpt_gen.ranges import CountOrZero, Depth, ShareBelowOne, Size


class ModulatedNorm(nn.Module):
    """norm(x) * (1 + scale) + shift, for x (B, L, D) and vectors (B, D)."""

    @nn.compact
    def __call__(self, x: jax.Array, vectors: jax.Array) -> jax.Array:
        parts = Modulation(2, name="modulation")(vectors)[:, None]
        shift, scale = jnp.split(parts, 2, axis=-1)
        return BiasedRMSNorm(name="norm")(x) * (1 + scale) + shift


class HaltonMaskGIT(MaskedTransformer, nn.Module):
    """Masked visual token model; the defaults are the published `ImageNet_256_base`.

    Attributes:
      codebook_size: K; the vocabulary has one more, the mask.
      num_classes: C; the table of classes has one row more, for none.
      num_tokens: N.
      num_layers: layers.
      hidden_size: D.
      num_heads: H; each has D // H channels, so that attention may be narrower than D.
      intermediate_size: of the gated MLPs.
      num_registers: learned positions after the visual tokens.
      dropout_rate: for attention and the branches of layers, in training.
      remat: a key of `nets.stack.REMAT`.

    Layers compute in the type of their matrices (see `nets/precision.py`); norms, modulation,
    softmax, logits and the residual stream are float32. Parameters may be stacked (see
    `nets/stack.py`), and hold additions (see `nets/additions.py`): with added class tokens, these
    modulate instead of the table's rows.
    """

    title = "Halton-MaskGIT"
    layer_prefix = "layer_"
    parts = LayerParts(
        matrices={
            "query": Matrix(("attention", "query")),
            "key": Matrix(("attention", "key")),
            "value": Matrix(("attention", "value")),
            "out": Matrix(("attention", "projection"), axes_in=2),
            "mlp_in": Matrix(("mlp", "mlp_in")),
            GATE: Matrix(("mlp", "mlp_gate")),
            "mlp_out": Matrix(("mlp", "mlp_out")),
        },
        attention_adapter=("attention_adapter",),
        mlp_adapter=("mlp_adapter",),
        prefix=("attention", "prefix"),
    )
    takes_vectors = True
    free_heads = True
    kept_hidden = (2, 5)
    # Share of examples trained without their class.
    pretraining = FrozenDict({"class_dropout": 0.1})

    codebook_size: int = 16384
    num_classes: int = 1000
    num_tokens: int = 256
    num_layers: Depth = 12
    hidden_size: Size = 768
    num_heads: Size = 12
    intermediate_size: Size = 2048
    num_registers: CountOrZero = 1
    dropout_rate: ShareBelowOne = 0.1
    remat: str = "none"

    @nn.nowrap
    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        # If the source has no classes, each starts as none, the table's only row.
        return rows_modulo(
            params["label_embeddings"]["embedding"], 0, self.num_classes, num_classes
        )

    @nn.nowrap
    def num_inputs(self, num_tokens: int, num_prompt_tokens: int) -> int:
        return num_tokens + self.num_registers + num_prompt_tokens

    @nn.nowrap
    def num_logit_rows(self, num_tokens: int) -> int:
        return num_tokens

    @property
    def attention_width(self) -> int:
        return self.num_heads * (self.hidden_size // self.num_heads)

    @property
    def layer_parameters(self) -> int:
        per_channel = 4 * self.attention_width + 3 * self.intermediate_size
        return self.hidden_size * per_channel

    @nn.nowrap
    def weight_products(self, length: int, num_prompt_tokens: int = 0) -> int:
        # Modulation is computed once per image.
        return super().weight_products(length, num_prompt_tokens) + 6 * self.hidden_size**2

    @nn.nowrap
    def layers_flops(self, length: int, backward: bool = False, num_prompt_tokens: int = 0) -> int:
        square = 2 * self.hidden_size**2
        # The gradient of modulation is needed for a vector alone, and not counted here.
        unneeded = 6 * self.num_layers * square if backward else 0
        of_last_norm = 2 * square
        return super().layers_flops(length, backward, num_prompt_tokens) - unneeded + of_last_norm

    def setup(self):
        def table(size: int) -> nn.Embed:
            return nn.Embed(size, self.hidden_size, embedding_init=kernel_init)

        self.token_embeddings = table(self.codebook_size + 1)
        self.position_embeddings = table(self.num_tokens)
        self.label_embeddings = table(self.num_classes + 1)
        if self.num_registers:
            self.register_embeddings = table(self.num_registers)
        self.layers = [self._layer(name=f"{self.layer_prefix}{i}") for i in range(self.num_layers)]
        self.final_norm = ModulatedNorm()
        # The table of tokens is the head's matrix, as released.
        self.head = Bias(self.codebook_size + 1)

    @nn.nowrap
    def _layer(self, **where) -> ModulatedLayer:
        layer = rematerialized(ModulatedLayer, self.remat, 3)
        return layer(self.num_heads, self.intermediate_size, self.dropout_rate, **where)

    def modulation(
        self, count: int, class_ids: jax.Array | None, vectors: jax.Array | None
    ) -> jax.Array:
        """Returns what modulates `count` images, float32 (B, D).

        Args:
          count: B.
          class_ids: (B,), or None: `NO_CLASS` for all.
          vectors: (B, D) to add, or None.
        """
        if class_ids is None:
            class_ids = jnp.full(count, NO_CLASS)
        numbers = jnp.where(class_ids == NO_CLASS, self.num_classes, class_ids)
        rows = self.label_embeddings(numbers)
        rows = own_or_added(self, class_ids, rows.astype(sum_type(rows.dtype)))
        return rows if vectors is None else rows + vectors

    def sequence(self, tokens: jax.Array, prompts: jax.Array | None = None) -> jax.Array:
        """Returns the layers' input for tokens (B, N) and prompts (B, S, D) or None.

        Returns:
          float32 (B, N + registers + S, D).
        """
        ids = jnp.where(tokens == MASK_TOKEN_ID, self.codebook_size, tokens)
        words = self.token_embeddings(ids)
        words = words.astype(sum_type(words.dtype))
        parts = [words + self.position_embeddings(jnp.arange(tokens.shape[1]))]
        if self.num_registers:
            registers = self.register_embeddings.embedding[None]
            parts.append(jnp.repeat(registers.astype(parts[0].dtype), len(tokens), axis=0))
        if prompts is not None:
            parts.append(prompts.astype(parts[0].dtype))
        return named(jnp.concatenate(parts, axis=1), "batch")

    def _run_layers(self, x: jax.Array, vectors: jax.Array, deterministic: bool) -> jax.Array:
        stacked: Any = self.get_variable("params", STACKED)
        if stacked is None:
            for layer in self.layers:
                x = layer(x, vectors, deterministic)
            return x
        layer, keys = self._layer(parent=None), None
        if self.dropout_rate > 0 and not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), self.num_layers)

        def run(params, x, key):
            rngs = None if key is None else {"dropout": key}
            return layer.apply({"params": params}, x, vectors, deterministic, rngs=rngs), None

        return scan_layers(run, stacked, x, keys)[0]

    def hidden_states(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
        vectors: jax.Array | None = None,
    ) -> jax.Array:
        """Returns normalized states (B, N, D) of the visual tokens, for `predict`."""
        modulation = self.modulation(len(tokens), class_ids, vectors)
        x = self._run_layers(self.sequence(tokens, prompts), modulation, deterministic)
        return self.final_norm(x[:, : tokens.shape[1]], modulation)

    def predict(self, hidden: jax.Array) -> jax.Array:
        """Normalized states (..., D) -> logits (..., K)."""
        return self._logits(hidden, self.codebook_size)

    def predict_with_mask(self, hidden: jax.Array) -> jax.Array:
        """Normalized states (..., D) -> logits (..., K + 1), the last of the mask."""
        return self._logits(hidden, self.codebook_size + 1)

    def _logits(self, hidden: jax.Array, count: int) -> jax.Array:
        logits = wide_product(hidden, self.token_embeddings.embedding[:count].T)
        return named(logits + self.head()[:count], "batch", None, "codes")

    def visual_logits(
        self,
        ids: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        vectors: jax.Array | None = None,
    ) -> jax.Array:
        return self(ids, prompts, class_ids, vectors=vectors)

    def __call__(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
        vectors: jax.Array | None = None,
    ) -> jax.Array:
        """Logits (B, N, K) over the codebook at the visual tokens.

        Args:
          tokens: (B, N), `MASK_TOKEN_ID` where masked.
          prompts: (B, S, D) beside the registers, or None.
          class_ids: (B,) in [0, C), the pretrained conditions; `NO_CLASS` or None for none.
          deterministic: no dropout.
          vectors: (B, D), added to what modulates: to the row of no class if there are no classes.
        """
        return self.predict(self.hidden_states(tokens, prompts, class_ids, deterministic, vectors))
