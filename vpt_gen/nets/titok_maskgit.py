"""TiTok's generators: bidirectional transformers over a sequence of tokens without places.

Source: TiTok (arXiv 2406.07550), bytedance/1d-tokenizer `modeling/maskgit.py`. A sequence holds a
class token, then N visual tokens. One design is BERT (arXiv 1810.04805) with a norm after the
embedding; the other, the UViT (arXiv 2209.12152), has its norms before the branches, and each of
its last layers first joins what one of the first layers gave: the last with the first, and so on.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from vpt_gen.nets.additions import own_or_added
from vpt_gen.nets.causal import Head
from vpt_gen.nets.layers import Dense, sum_type
from vpt_gen.nets.layout import named
from vpt_gen.nets.plain_layers import PlainLayer, kernel_init
from vpt_gen.nets.stack import STACKED, rematerialized, scan_layers
from vpt_gen.nets.transformer import (
    MASK_TOKEN_ID,
    NO_CLASS,
    LayerParts,
    MaskedTransformer,
    Matrix,
    rows_modulo,
)
from vpt_gen.ranges import Depth, ShareBelowOne, Size

BERT_EPSILON, UVIT_EPSILON = 1e-12, 1e-5


class TiTokMaskGIT(MaskedTransformer, nn.Module):
    """Masked model of TiTok's tokens; the defaults are the published `generator_titok_l32`.

    Attributes:
      codebook_size: K; the table of tokens has one more, the mask.
      num_classes: C; the table of classes has one row more, for none.
      num_tokens: N.
      num_layers: layers.
      hidden_size: D.
      num_heads: divides D.
      intermediate_size: of the MLPs.
      long_skips: the UViT instead of BERT.
      dropout_rate: for embeddings, attention and branches, in training.
      remat: a key of `nets.stack.REMAT`.

    Layers compute in the type of their matrices (see `nets/precision.py`); norms, softmax, logits
    and the residual stream are float32. Parameters may be stacked (see `nets/stack.py`), and hold
    additions (see `nets/additions.py`): with added class tokens, these are the classes.
    """

    title = "TiTok generator"
    one_dimensional = True
    layer_prefix = "layer_"
    parts = LayerParts(
        matrices={
            "query": Matrix(("attention", "query")),
            "key": Matrix(("attention", "key")),
            "value": Matrix(("attention", "value")),
            "out": Matrix(("attention", "out"), axes_in=2),
            "mlp_in": Matrix(("mlp_in",)),
            "mlp_out": Matrix(("mlp_out",)),
        },
        attention_adapter=("attention_adapter",),
        mlp_adapter=("mlp_adapter",),
        prefix=("attention", "prefix"),
    )
    keeps_output = True  # Of BERT; the UViT, which needs it less, is counted with it.
    # Share of examples trained without their class.
    pretraining = FrozenDict({"class_dropout": 0.1})

    codebook_size: int = 4096
    num_classes: int = 1000
    num_tokens: int = 32
    num_layers: Depth = 24
    hidden_size: Size = 768
    num_heads: Size = 16
    intermediate_size: Size = 3072
    long_skips: bool = False
    dropout_rate: ShareBelowOne = 0.1
    remat: str = "none"

    @property
    def num_skips(self) -> int:
        """Layers that join the output of an earlier one."""
        return (self.num_layers - 1) // 2 if self.long_skips else 0

    @nn.nowrap
    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        # If the source has no classes, each starts as none, the table's only row.
        table = params["label_embeddings"]["embedding"]
        return rows_modulo(table, 0, self.num_classes, num_classes)

    @nn.nowrap
    def repeated(self) -> dict[str, int]:
        return super().repeated() | {"skip_": self.num_skips}

    @nn.nowrap
    def num_logit_rows(self, num_tokens: int) -> int:
        return num_tokens

    @nn.nowrap
    def layers_flops(self, length: int, backward: bool = False, num_prompt_tokens: int = 0) -> int:
        layers = super().layers_flops(length, backward, num_prompt_tokens)
        joining = self.num_skips * 2 * length * 2 * self.hidden_size**2
        return layers + joining * (2 if backward else 1)

    def setup(self):
        def table(size: int) -> nn.Embed:
            return nn.Embed(size, self.hidden_size, embedding_init=kernel_init)

        self.token_embeddings = table(self.codebook_size + 1)
        self.label_embeddings = table(self.num_classes + 1)
        self.position_embeddings = table(self.num_tokens + 1)
        if not self.long_skips:
            self.embeddings_norm = nn.LayerNorm(epsilon=BERT_EPSILON)
        self.dropout = nn.Dropout(self.dropout_rate)
        self.layers = [self._layer(name=f"{self.layer_prefix}{i}") for i in range(self.num_layers)]
        self.joins = [self._join(name=f"skip_{i}") for i in range(self.num_skips)]
        if self.long_skips:
            self.final_norm = nn.LayerNorm(epsilon=UVIT_EPSILON)
        self.head = Head(self.codebook_size, kernel_init, use_bias=True)

    @nn.nowrap
    def _layer(self, **where) -> PlainLayer:
        layer = rematerialized(PlainLayer, self.remat, 2)
        return layer(
            self.num_heads,
            self.intermediate_size,
            norm_after=not self.long_skips,
            epsilon=UVIT_EPSILON if self.long_skips else BERT_EPSILON,
            input_biases=not self.long_skips,
            dropout_rate=self.dropout_rate,
            **where,
        )

    @nn.nowrap
    def _join(self, **where) -> Dense:
        return Dense(self.hidden_size, kernel_init, **where)

    def embed(self, words: jax.Array, first: int, deterministic: bool = True) -> jax.Array:
        """Rows (B, A, D) of tables, at the positions from `first` on -> float32 (B, A, D)."""
        positions = self.position_embeddings(first + jnp.arange(words.shape[1]))
        x = words.astype(sum_type(words.dtype)) + positions
        return self.dropout(x if self.long_skips else self.embeddings_norm(x), deterministic)

    def class_tokens(self, class_ids: jax.Array) -> jax.Array:
        """The rows (B, 1, D) of classes (B,), in the table or among those added to the net."""
        numbers = jnp.where(class_ids == NO_CLASS, self.num_classes, class_ids)
        return own_or_added(self, class_ids, self.label_embeddings(numbers))[:, None]

    def sequence(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Returns the layers' input.

        Prompts take the class token's place after its position and its norm: they get neither, and
        the visual tokens keep positions 1..N.

        Returns:
          float32 (B, 1 + N, D), or (B, S + N, D) with prompts (B, S, D).
        """
        if prompts is None:
            if class_ids is None:
                class_ids = jnp.full(len(tokens), NO_CLASS)
            prompts = self.embed(self.class_tokens(class_ids), 0, deterministic)
        words = self.token_embeddings(
            jnp.where(tokens == MASK_TOKEN_ID, self.codebook_size, tokens)
        )
        x = self.embed(words, 1, deterministic)
        return named(jnp.concatenate([prompts.astype(x.dtype), x], axis=1), "batch")

    def _run_layers(self, x: jax.Array, deterministic: bool) -> jax.Array:
        stacked: Any = self.get_variable("params", STACKED)
        if stacked is not None:
            return self._scan_layers(stacked, x, deterministic)
        kept: list[jax.Array] = []
        last = self.num_layers - self.num_skips
        for number, layer in enumerate(self.layers):
            if number >= last:
                x = self.joins[number - last](jnp.concatenate([x, kept.pop()], axis=-1))
            x = layer(x, deterministic)
            if number < self.num_skips:
                kept.append(x)
        return x

    def _scan_layers(self, stacked: Any, x: jax.Array, deterministic: bool) -> jax.Array:
        layer, join, keys = self._layer(parent=None), self._join(parent=None), None
        if self.dropout_rate > 0 and not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), self.num_layers)

        def run(params, x, key):
            rngs = None if key is None else {"dropout": key}
            x = layer.apply({"params": params}, x, deterministic, rngs=rngs)
            return x, x if self.num_skips else None

        def joined(params, x, inputs):
            key, skip, earlier = inputs
            x = join.apply({"params": skip}, jnp.concatenate([x, earlier], axis=-1))
            return run(params, x, key)[0], None

        if not self.num_skips:
            return scan_layers(run, stacked, x, keys)[0]
        first, last = self.num_skips, self.num_layers - self.num_skips
        parts = [
            jax.tree.map(lambda a, s=part: a[s], (stacked, keys))
            for part in (slice(first), slice(first, last), slice(last, None))
        ]
        x, kept = scan_layers(run, parts[0][0], x, parts[0][1])
        x, _ = scan_layers(run, parts[1][0], x, parts[1][1])
        own: list[Any] = [self.get_variable("params", f"skip_{i}") for i in range(first)]
        skips = jax.tree.map(lambda *a: jnp.stack(a), *own)
        return scan_layers(joined, parts[2][0], x, (parts[2][1], skips, kept[::-1]))[0]

    def hidden_states(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Returns states (B, N, D) of the visual tokens, for `predict`."""
        x = self.sequence(tokens, prompts, class_ids, deterministic)
        x = self._run_layers(x, deterministic)[:, -tokens.shape[1] :]
        return self.final_norm(x) if self.long_skips else x

    def predict(self, hidden: jax.Array) -> jax.Array:
        """Hidden states (B, A, D) of visual tokens -> logits (B, A, K) over the codebook."""
        return self.head(hidden)

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
          class_ids: (B,) in [0, C), the pretrained conditions; `NO_CLASS` or None for none.
          deterministic: no dropout.
        """
        return self.predict(self.hidden_states(tokens, prompts, class_ids, deterministic))
