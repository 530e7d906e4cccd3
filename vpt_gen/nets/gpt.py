"""The autoregressive transformer: a causal, pre-LN GPT over visual tokens.

Source: Taming Transformers (arXiv 2012.09841), CompVis/taming-transformers
`taming/modules/transformer/mingpt.py` and `taming/models/cond_transformer.py`.

The input sequence is a prefix followed by the visual tokens z_0, z_1, ...; the position before
z_n predicts it. The prefix is the class token or prompts:

- A class id k is embedded as visual token k (the release has no rows of its own for classes) at
  position 0, and z_n at position n + 1.
- Prompts take the class token's place after the position embedding is added: they get none of the
  transformer's, and z_n keeps position n + 1.
- Prompts *and* a class are the release's own `embeddings` argument: prompts at positions 0..S-1,
  the class at S, z_n at S + n + 1. It needs a longer position table than the published models have.
"""

from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from vpt_gen.nets.additions import own_or_added
from vpt_gen.nets.causal import CausalNet, Head
from vpt_gen.nets.causal_layers import Block
from vpt_gen.nets.layers import sum_type
from vpt_gen.nets.stack import rematerialized
from vpt_gen.nets.transformer import (
    NO_CLASS,
    LayerParts,
    Matrix,
    rows_modulo,
)
from vpt_gen.ranges import Depth, ShareBelowOne, Size

_kernel_init = nn.initializers.normal(0.02)


class GPT(CausalNet):
    """Causal visual token model; the defaults are the published class-conditional ImageNet model.

    Attributes:
      codebook_size: K, visual tokens; class ids lie in [0, K) too.
      num_positions: rows of the position table: the class token and the tokens that follow it. N
        visual tokens need N rows, because the last one is never an input.
      order: the row-major index of the 1st, 2nd, ... visual token of the sequence (the release's
        permuter); () if the sequence is row-major itself.
      remat: a key of `nets.stack.REMAT`.

    Layers compute in the type of their matrices (see `nets/precision.py`); norms, softmax, logits
    and the residual stream are float32. Parameters may be stacked (see `nets/stack.py`), and hold
    additions (see `nets/additions.py`): with added class tokens, these are the classes.
    """

    title = "GPT"
    layer_prefix = "block_"
    parts = LayerParts(
        matrices={
            "query": Matrix(("attention", "query")),
            "key": Matrix(("attention", "key")),
            "value": Matrix(("attention", "value")),
            "out": Matrix(("attention", "projection"), axes_in=2),
            "mlp_in": Matrix(("mlp_in",)),
            "mlp_out": Matrix(("mlp_out",)),
        },
        attention_adapter=("attention_adapter",),
        mlp_adapter=("mlp_adapter",),
        prefix=("attention", "prefix"),
    )
    from_data = ("codebook_size", "num_positions", "order", "null_class")
    # The paper's size; the net's own is that of the published model.
    pretraining = FrozenDict(
        {
            "num_layers": 24,
            "hidden_size": 1024,
            "num_heads": 16,
            "intermediate_size": 4096,
            "dropout_rate": 0.1,
            "class_dropout": 0.0,
        }
    )

    codebook_size: int = 16384
    num_positions: int = 256
    num_layers: Depth = 48
    hidden_size: Size = 1536
    num_heads: Size = 24
    intermediate_size: Size = 6144
    dropout_rate: ShareBelowOne = 0.0
    order: tuple[int, ...] = ()
    # The class that stood for none in pretraining; -1: there was always one.
    null_class: int = -1
    remat: str = "none"

    @classmethod
    def for_data(cls, codebook_size: int, num_classes: int, num_tokens: int, **fields: Any) -> Self:
        if num_classes > codebook_size:
            raise ValueError(
                f"A GPT takes class ids as visual tokens: {num_classes} classes need a codebook of "
                f"at least as many, and the tokenizer has {codebook_size}."
            )
        return cls(codebook_size, num_tokens, **fields)

    @nn.nowrap
    def dropping_classes(self, num_classes: int) -> Self:
        if num_classes >= self.codebook_size:
            raise ValueError(
                f"A GPT takes class ids as visual tokens: {num_classes} classes leave none of its "
                f"{self.codebook_size} for no class; set config.model.class_dropout to 0."
            )
        return self.clone(null_class=num_classes)

    @property
    def known_classes(self) -> int | None:
        # Classes are visual tokens: any code may be one, unless one stands for no class.
        return self.null_class if self.null_class >= 0 else None

    @property
    def token_counts(self) -> tuple[int, int]:
        ordered = len(self.order)
        return (ordered, ordered) if ordered else (1, self.num_positions)

    @nn.nowrap
    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        table = params["token_embeddings"]["embedding"]
        return rows_modulo(table, 0, self.codebook_size, num_classes)

    @nn.nowrap
    def to_sequence(self, tokens: jax.Array) -> jax.Array:
        """Row-major visual tokens (B, N) in the order of the sequence."""
        return self._permuted(tokens, np.array(self.order))

    @nn.nowrap
    def to_row_major(self, tokens: jax.Array) -> jax.Array:
        """The inverse of `to_sequence`."""
        return self._permuted(tokens, np.argsort(self.order))

    @nn.nowrap
    def _permuted(self, tokens, places):
        if not self.order:
            return tokens
        # JAX would read beyond the end without a word.
        if tokens.shape[1] != len(places):
            raise ValueError(f"{tokens.shape[1]} tokens do not suit an order of {len(places)}.")
        return tokens[:, places]

    @nn.nowrap
    def check_length(self, first_position: int, num_tokens: int) -> None:
        """Raises ValueError if so many visual tokens do not fit into the position table."""
        if first_position + num_tokens - 1 > self.num_positions:
            raise ValueError(
                f"{num_tokens} tokens from position {first_position} on do not fit into "
                f"{self.num_positions} positions."
            )

    def setup(self):
        self.token_embeddings = nn.Embed(
            self.codebook_size, self.hidden_size, embedding_init=_kernel_init
        )
        self.position_embeddings = nn.Embed(
            self.num_positions, self.hidden_size, embedding_init=_kernel_init
        )
        self.dropout = nn.Dropout(self.dropout_rate)
        self.blocks = [self._block(name=f"{self.layer_prefix}{i}") for i in range(self.num_layers)]
        self.final_ln = nn.LayerNorm(epsilon=1e-5)
        self.head = Head(self.codebook_size)

    @nn.nowrap
    def _block(self, **where) -> Block:
        block = rematerialized(Block, self.remat, 5)
        return block(self.num_heads, self.intermediate_size, self.dropout_rate, **where)

    def embed(self, tokens: jax.Array, first_position: jax.Array | int) -> jax.Array:
        """Tokens (B, T) at positions first_position.. -> float32 (B, T, D)."""
        positions = self._positions(first_position + jnp.arange(tokens.shape[1]))
        words = self.token_embeddings(tokens)
        return words.astype(sum_type(words.dtype)) + positions

    def _positions(self, positions: jax.Array) -> jax.Array:
        rows = self.position_embeddings(positions)
        return rows.astype(sum_type(rows.dtype))

    def prefix(
        self, prompts: jax.Array | None = None, class_ids: jax.Array | None = None
    ) -> tuple[jax.Array, int]:
        """What stands before the visual tokens, (B, S, D), and the position of z_0.

        Args:
          prompts: (B, S, D), or None.
          class_ids: (B,), or None; see the head of this file for what both together mean.

        Raises:
          ValueError: neither is given, or prompts of no token.
        """
        if prompts is not None:
            if prompts.shape[1] == 0:
                raise ValueError("Prompts must hold one token at least.")
            prompts = prompts.astype(sum_type(self.token_embeddings.embedding.dtype))
        if class_ids is None:
            if prompts is None:
                raise ValueError("A GPT needs prompts or class ids before the visual tokens.")
            return prompts, 1
        if prompts is None:
            return self._embed_classes(class_ids, 0), 1
        count = prompts.shape[1]
        prompts = prompts + self._positions(jnp.arange(count))
        return jnp.concatenate([prompts, self._embed_classes(class_ids, count)], axis=1), count + 1

    def _embed_classes(self, class_ids: jax.Array, position: int) -> jax.Array:
        """Classes (B,) at a position -> (B, 1, D).

        `NO_CLASS` of a net that always had a class in pretraining is the position without a token.
        """
        none = class_ids == NO_CLASS
        words = self.token_embeddings(jnp.where(none, self.null_class, class_ids))
        rows = words.astype(sum_type(words.dtype))
        if self.null_class < 0:
            rows = jnp.where(none[:, None], 0.0, rows)
        rows = own_or_added(self, class_ids, rows)
        return rows[:, None] + self._positions(position + jnp.arange(1))

    def normalized(self, hidden: jax.Array) -> jax.Array:
        """Hidden states (..., D) -> what the head is given."""
        return self.final_ln(hidden)
