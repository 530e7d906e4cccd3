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

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.nets.layout import named

_kernel_init = nn.initializers.normal(0.02)

# Keys and values of one layer, each (B, L, heads, D / heads).
LayerCache = tuple[jax.Array, jax.Array]


def _layer_norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, name=name)


class CausalAttention(nn.Module):
    """Multi-head attention (B, T, D) -> (B, T, D) in which a position sees none after it."""

    num_heads: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self, x: jax.Array, cache: LayerCache | None, start: jax.Array | int, deterministic: bool
    ) -> tuple[jax.Array, LayerCache]:
        """Attends from positions start..start+T-1 to what the cache holds before them and to them.

        Without a cache the keys and values are those of `x` alone.
        """
        heads = (self.num_heads, x.shape[-1] // self.num_heads)
        query, key, value = (
            named(
                nn.DenseGeneral(heads, kernel_init=_kernel_init, name=name)(x),
                "batch",
                None,
                "heads",
            )
            for name in ("query", "key", "value")
        )
        if cache is not None:
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new, start, axis=1)
                for old, new in zip(cache, (key, value), strict=True)
            )
        queries = start + jnp.arange(x.shape[1])
        visible = jnp.arange(key.shape[1])[None, :] <= queries[:, None]
        attended = jax.nn.dot_product_attention(query, key, value, mask=visible[None, None])
        output = nn.DenseGeneral(
            x.shape[-1], axis=(-2, -1), kernel_init=_kernel_init, name="projection"
        )(attended)
        return nn.Dropout(self.dropout_rate)(output, deterministic), (key, value)


class Block(nn.Module):
    """One pre-LN layer; GELU is exact."""

    num_heads: int
    intermediate_size: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self, x: jax.Array, cache: LayerCache | None, start: jax.Array | int, deterministic: bool
    ) -> tuple[jax.Array, LayerCache]:
        attention = CausalAttention(self.num_heads, self.dropout_rate, name="attention")
        attended, cache = attention(_layer_norm("attention_ln")(x), cache, start, deterministic)
        x = named(x + attended, "batch")
        hidden = nn.Dense(self.intermediate_size, kernel_init=_kernel_init, name="mlp_in")(
            _layer_norm("mlp_ln")(x)
        )
        hidden = nn.gelu(named(hidden, "batch", None, "hidden"), approximate=False)
        hidden = nn.Dense(x.shape[-1], kernel_init=_kernel_init, name="mlp_out")(hidden)
        x = x + nn.Dropout(self.dropout_rate)(hidden, deterministic)
        return named(x, "batch"), cache


class GPT(nn.Module):
    """Causal visual token model; the defaults are the published class-conditional ImageNet model.

    Attributes:
      codebook_size: K, visual tokens; class ids lie in [0, K) too.
      num_positions: rows of the position table: the class token and the tokens that follow it. N
        visual tokens need N rows, because the last one is never an input.
      order: the row-major index of the 1st, 2nd, ... visual token of the sequence (the release's
        permuter); () where the sequence is row-major itself.
    """

    codebook_size: int = 16384
    num_positions: int = 256
    num_layers: int = 48
    hidden_size: int = 1536
    num_heads: int = 24
    intermediate_size: int = 6144
    dropout_rate: float = 0.0
    order: tuple[int, ...] = ()

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
        """Raises ValueError where so many visual tokens do not fit into the position table."""
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
        self.blocks = [
            Block(self.num_heads, self.intermediate_size, self.dropout_rate, name=f"block_{i}")
            for i in range(self.num_layers)
        ]
        self.final_ln = nn.LayerNorm(epsilon=1e-5)
        self.head = nn.Dense(self.codebook_size, use_bias=False, kernel_init=_kernel_init)

    def embed(self, tokens: jax.Array, first_position: jax.Array | int) -> jax.Array:
        """Tokens (B, T) at positions first_position.. -> (B, T, D)."""
        positions = first_position + jnp.arange(tokens.shape[1])
        return self.token_embeddings(tokens) + self.position_embeddings(positions)

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
            # The layers compute in the type of the parameters, whatever made the prompts.
            prompts = prompts.astype(self.token_embeddings.embedding.dtype)
        if class_ids is None:
            if prompts is None:
                raise ValueError("A GPT needs prompts or class ids before the visual tokens.")
            return prompts, 1
        if prompts is None:
            return self.embed(class_ids[:, None], 0), 1
        count = prompts.shape[1]
        prompts = prompts + self.position_embeddings(jnp.arange(count))
        return jnp.concatenate([prompts, self.embed(class_ids[:, None], count)], axis=1), count + 1

    def run(
        self,
        x: jax.Array,
        cache: list[LayerCache] | None = None,
        start: jax.Array | int = 0,
        deterministic: bool = True,
    ) -> tuple[jax.Array, list[LayerCache]]:
        """The layers on embedded inputs (B, T, D).

        Args:
          x: embedded inputs.
          cache: keys and values of every layer, of L positions; `start`.. are overwritten.
          start: index of `x` in the cache.
          deterministic: no dropout.

        Returns:
          Logits (B, T, K), and the keys and values: the cache's, or of `x` alone.
        """
        x = named(self.dropout(x, deterministic), "batch")
        caches = []
        for number, block in enumerate(self.blocks):
            x, layer_cache = block(x, cache[number] if cache else None, start, deterministic)
            caches.append(layer_cache)
        return named(self.head(self.final_ln(x)), "batch", None, "codes"), caches

    def __call__(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Logits (B, N, K): row n predicts token n from the prefix and the tokens before it.

        Args:
          tokens: (B, N) visual tokens, in the order of the sequence.
          prompts: (B, S, D), or None.
          class_ids: (B,), or None.
          deterministic: no dropout.

        Raises:
          ValueError: neither prompts nor classes, or more tokens than positions.
        """
        prefix, first = self.prefix(prompts, class_ids)
        self.check_length(first, tokens.shape[1])
        x = jnp.concatenate([prefix, self.embed(tokens[:, :-1], first)], axis=1)
        logits, _ = self.run(x, deterministic=deterministic)
        return logits[:, prefix.shape[1] - 1 :]
