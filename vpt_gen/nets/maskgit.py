"""The MaskGIT transformer: a bidirectional, post-LN transformer over visual tokens.

Source: MaskGIT (arXiv 2202.04200), google-research/maskgit `maskgit/nets/maskgit_transformer.py`;
prompts as in google-research/generative_transfer (`CondBert`). Parameter names and shapes are the
released ones.
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from vpt_gen.nets.additions import Adapter, class_rows
from vpt_gen.nets.attention import LayerCache, SelfAttention
from vpt_gen.nets.layers import Dense, wide_product
from vpt_gen.nets.layout import named
from vpt_gen.nets.stack import (
    STACKED,
    rematerialized,
    scan_layers,
)
from vpt_gen.nets.transformer import (
    MASK_TOKEN_ID,
    NO_CLASS,
    LayerParts,
    MaskedTransformer,
    Matrix,
    rows_modulo,
)
from vpt_gen.ranges import Depth, ShareBelowOne, Size

LAYER_NORM_EPSILON = 1e-12

# Of every layer, one after another, or stacked in one `LayerCache`.
Cache = tuple[LayerCache, ...] | LayerCache

_kernel_init = nn.initializers.truncated_normal(0.02)


def layer_norm(name: str) -> nn.LayerNorm:
    """LayerNorm with the epsilon of every norm in the release."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name=name)


class Embed(nn.Module):
    """Sum of word and position embeddings, normalized, with dropout: ids (B, L) -> (B, L, D)."""

    vocab_size: int
    num_positions: int
    hidden_size: int
    dropout_rate: float

    def setup(self):
        self.word_embeddings = nn.Embed(
            self.vocab_size, self.hidden_size, embedding_init=_kernel_init
        )
        self.position_embeddings = nn.Embed(
            self.num_positions, self.hidden_size, embedding_init=_kernel_init
        )
        self.embeddings_ln = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON)
        self.dropout = nn.Dropout(self.dropout_rate)

    def __call__(
        self,
        ids: jax.Array,
        deterministic: bool,
        positions: jax.Array | None = None,
        class_words: jax.Array | None = None,
    ) -> jax.Array:
        """Embeds ids (B, L) of the first L positions, or of `positions` (B, L).

        Added `class_words` (B, D) replace position 0, except if its id is masked.
        """
        if positions is None:
            positions = jnp.arange(ids.shape[1])[None]
        no_class = ids[:, :1] == MASK_TOKEN_ID
        if class_words is not None:
            ids = ids.at[:, 0].set(MASK_TOKEN_ID)
        # The mask token is written as -1 and embedded with the last row of the table.
        words = self.word_embeddings(jnp.where(ids == MASK_TOKEN_ID, self.vocab_size - 1, ids))
        if class_words is not None:
            class_words = jnp.where(no_class, words[:, 0], class_words.astype(words.dtype))
            words = words.at[:, 0].set(class_words)
        rows = words + self.position_embeddings(positions)
        return self.dropout(self.embeddings_ln(rows), deterministic)


class Attention(nn.Module):
    """x -> LN(x + attention(x)): every position attends to every other."""

    num_heads: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        deterministic: bool,
        cache: LayerCache | None,
        positions: jax.Array | None,
    ) -> tuple[jax.Array, LayerCache]:
        attended, cache = SelfAttention(
            self.num_heads, self.dropout_rate, _kernel_init, name="self_attention"
        )(x, deterministic, cache, positions)
        attended = nn.Dropout(self.dropout_rate)(attended, deterministic)
        attended = Adapter(name="adapter")(attended)
        return named(layer_norm("attention_output_ln")(attended + x), "batch"), cache


class Mlp(nn.Module):
    """x -> LN(x + MLP(x)), with the tanh approximation of GELU."""

    intermediate_size: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        hidden = Dense(self.intermediate_size, _kernel_init, name="intermediate_output")(x)
        hidden = nn.gelu(named(hidden, "batch", None, "hidden"), approximate=True)
        output = Dense(x.shape[-1], _kernel_init, name="layer_output")(hidden)
        output = nn.Dropout(self.dropout_rate)(output, deterministic)
        output = Adapter(name="adapter")(output)
        return named(layer_norm("layer_output_ln")(output + x), "batch")


class TransformerLayer(nn.Module):
    """One post-LN layer on (B, L, D), or on some positions of a cached sequence.

    Takes and returns the same as `nets.attention.SelfAttention`.
    """

    num_heads: int
    intermediate_size: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        deterministic: bool,
        cache: LayerCache | None = None,
        positions: jax.Array | None = None,
    ) -> tuple[jax.Array, LayerCache]:
        attention = Attention(self.num_heads, self.dropout_rate, name="Attention_0")
        x, cache = attention(x, deterministic, cache, positions)
        return Mlp(self.intermediate_size, self.dropout_rate, name="Mlp_0")(x, deterministic), cache


class Bias(nn.Module):
    """A learned bias over the vocabulary, in a sub-module of its own as in the released tree."""

    size: int

    @nn.compact
    def __call__(self) -> jax.Array:
        return self.param("bias", nn.initializers.zeros, (self.size,))


class MlmLayer(nn.Module):
    """Hidden states (..., D) and embedding table (V, D) -> logits (..., num_entries)."""

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array, num_entries: int) -> jax.Array:
        x = Dense(x.shape[-1], _kernel_init, name="mlm_dense")(x)
        x = layer_norm("mlm_ln")(nn.gelu(x, approximate=True))
        bias = Bias(embedding.shape[0], name="mlm_bias")()
        return wide_product(x, embedding[:num_entries].T) + bias[:num_entries]


class MaskGIT(MaskedTransformer, nn.Module):
    """Masked visual token model; the defaults are the released ImageNet model at 256 px.

    The vocabulary is [0, K) visual tokens, [K, K + C) class tokens, and one mask row at the end.
    A sequence holds N + 1 ids: the class token (or anything, if prompts replace it), then N
    visual tokens in row-major order; a masked position holds `MASK_TOKEN_ID`.

    Layers compute in the type of their matrices (see `nets/precision.py`); norms, softmax and
    logits are float32. Parameters may be stacked (see `nets/stack.py`), and hold additions (see
    `nets/additions.py`): with added class tokens, these are the classes.

    Attributes:
      codebook_size: K.
      num_classes: C.
      num_tokens: N.
      num_layers: layers.
      hidden_size: D.
      num_heads: divides D.
      intermediate_size: of the MLPs.
      dropout_rate: for embeddings, attention and layers, in training.
      remat: a key of `nets.stack.REMAT`.
    """

    title = "MaskGIT"
    layer_prefix = "TransformerLayer_"
    parts = LayerParts(
        matrices={
            "query": Matrix(("Attention_0", "self_attention", "query")),
            "key": Matrix(("Attention_0", "self_attention", "key")),
            "value": Matrix(("Attention_0", "self_attention", "value")),
            "out": Matrix(("Attention_0", "self_attention", "out"), axes_in=2),
            "mlp_in": Matrix(("Mlp_0", "intermediate_output")),
            "mlp_out": Matrix(("Mlp_0", "layer_output")),
        },
        attention_adapter=("Attention_0", "adapter"),
        mlp_adapter=("Mlp_0", "adapter"),
        prefix=("Attention_0", "self_attention", "prefix"),
    )
    keeps_output = True
    kept_hidden = (1, 5)  # The tanh of its GELU takes two more.
    # Share of examples trained without their class.
    pretraining = FrozenDict({"class_dropout": 0.1})

    codebook_size: int = 1024
    num_classes: int = 1000
    num_tokens: int = 256
    num_layers: Depth = 24
    hidden_size: Size = 768
    num_heads: Size = 16
    intermediate_size: Size = 3072
    dropout_rate: ShareBelowOne = 0.1
    remat: str = "none"

    @property
    def head_parameters(self) -> int:
        # A dense layer comes between the last layer and the table of codes.
        return self.hidden_size**2 + self.hidden_size * self.codebook_size

    @nn.nowrap
    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        # If the source has no classes, each starts as the mask, the table's last row.
        table = params["Embed_0"]["word_embeddings"]["embedding"]
        return rows_modulo(table, self.codebook_size, self.num_classes, num_classes)

    @property
    def vocab_size(self) -> int:
        return self.codebook_size + self.num_classes + 1

    def setup(self):
        self.embed = Embed(
            self.vocab_size,
            self.num_tokens + 1,
            self.hidden_size,
            self.dropout_rate,
            name="Embed_0",
        )
        self.layers = [self._layer(name=f"{self.layer_prefix}{i}") for i in range(self.num_layers)]
        self.mlm = MlmLayer(name="MlmLayer_0")

    @nn.nowrap
    def _layer(self, **where) -> TransformerLayer:
        layer = rematerialized(TransformerLayer, self.remat, 2)
        return layer(self.num_heads, self.intermediate_size, self.dropout_rate, **where)

    def _run_layers(self, x: jax.Array, deterministic: bool) -> jax.Array:
        stacked: Any = self.get_variable("params", STACKED)
        if stacked is None:
            for layer in self.layers:
                x, _ = layer(x, deterministic)
            return x
        layer, keys = self._layer(parent=None), None
        if self.dropout_rate > 0 and not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), self.num_layers)

        def run(params, x, key):
            rngs = None if key is None else {"dropout": key}
            return layer.apply({"params": params}, x, deterministic, rngs=rngs)[0], None

        return scan_layers(run, stacked, x, keys)[0]

    def run(
        self, x: jax.Array, cache: Cache | None = None, positions: jax.Array | None = None
    ) -> tuple[jax.Array, Cache]:
        """Runs the layers, without dropout, on all or some of the positions.

        If `x` is a part, it attends to the rest as cached: as it was when last computed.

        Args:
          x: (B, A, D), of `sequence` or `embed_tokens`.
          cache: keys and values of all positions; None: `x` is the whole sequence.
          positions: (B, A), where in the sequence `x` belongs.

        Returns:
          (B, A, D), and the cache including the keys and values of `x`.
        """
        stacked: Any = self.get_variable("params", STACKED)
        if stacked is None:
            caches = []
            for number, layer in enumerate(self.layers):
                # A tuple, as the layers are.
                old = cast(LayerCache, cache[number]) if cache else None
                x, own = layer(x, True, old, positions)
                caches.append(own)
            return x, tuple(caches)
        layer = self._layer(parent=None)

        def run(params, x, own):
            return layer.apply({"params": params}, x, True, own, positions)

        return scan_layers(run, stacked, x, cache)

    def sequence(
        self, ids: jax.Array, prompts: jax.Array | None = None, deterministic: bool = True
    ) -> jax.Array:
        """Returns the layers' input for ids (B, N + 1) and prompts (B, S, D) or None.

        Prompts take the class token's place after the embedding norm: they get no position
        embedding, the visual tokens keep positions 1..N, and `ids[:, 0]` has no influence.

        Returns:
          (B, N + 1, D) without prompts, (B, S + N, D) with.
        """
        class_words = class_rows(self, ids[:, 0] - self.codebook_size)
        x = self.embed(ids, deterministic, class_words=class_words)
        if prompts is not None:
            x = jnp.concatenate([prompts, x[:, 1:]], axis=1)
        return named(x, "batch")

    def embed_tokens(self, tokens: jax.Array, positions: jax.Array) -> jax.Array:
        """Visual tokens (B, A) at `positions` (B, A), which count from 0 to N - 1 -> (B, A, D)."""
        return self.embed(tokens, True, positions + 1)

    def predict(self, hidden: jax.Array) -> jax.Array:
        """Hidden states (B, A, D) of visual tokens -> logits (B, A, K) over the codebook."""
        return self.mlm(hidden, self.embed.word_embeddings.embedding, self.codebook_size)

    def hidden_states(
        self, ids: jax.Array, prompts: jax.Array | None = None, deterministic: bool = True
    ) -> jax.Array:
        """Returns the layers' output for `sequence`, of the same shape."""
        return self._run_layers(self.sequence(ids, prompts, deterministic), deterministic)

    def visual_logits(
        self,
        ids: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Logits (B, N + 1, K) over the codebook at the last N + 1 positions.

        With prompts, row 0 belongs to the last prompt token; the released sampler treats it as
        one more masked position (see `decode/parallel.py`), training gives it no weight. The ids
        contain the class.
        """
        del class_ids
        return self.predict(self.hidden_states(ids, prompts, deterministic)[:, -ids.shape[1] :])

    def vocabulary_logits(
        self, ids: jax.Array, prompts: jax.Array | None = None, deterministic: bool = True
    ) -> jax.Array:
        """Logits (B, S + N, V) over the whole vocabulary; S = 1 without prompts."""
        x = self.hidden_states(ids, prompts, deterministic)
        return self.mlm(x, self.embed.word_embeddings.embedding, self.vocab_size)

    def __call__(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Logits (B, N, K) over the codebook at the visual tokens.

        Args:
          tokens: (B, N), `MASK_TOKEN_ID` where masked.
          prompts: (B, S, D), in place of the class token.
          class_ids: (B,) in [0, C), the pretrained conditions; `NO_CLASS` or None masks it.
          deterministic: no dropout.
        """
        ids = self.ids(tokens, class_ids)
        return self.predict(self.hidden_states(ids, prompts, deterministic)[:, -tokens.shape[1] :])

    @nn.nowrap
    def unconditional_ids(self, ids: jax.Array) -> jax.Array:
        # As in pretraining with `class_dropout`.
        return ids.at[:, 0].set(MASK_TOKEN_ID)

    @nn.nowrap
    def ids(self, tokens: jax.Array, class_ids: jax.Array | None = None) -> jax.Array:
        """Returns the ids (B, N + 1) of tokens (B, N) and classes (B,), as in `__call__`."""
        if class_ids is None:
            class_ids = jnp.full_like(tokens[:, 0], NO_CLASS)
        first = jnp.where(class_ids == NO_CLASS, MASK_TOKEN_ID, self.codebook_size + class_ids)
        return jnp.concatenate([first[:, None], tokens], axis=1)
