"""LlamaGen's transformer: a causal net over visual tokens whose positions are rotations.

Source: LlamaGen (arXiv 2406.06525), FoundationVision/LlamaGen `autoregressive/models/gpt.py`.

The input sequence is a condition followed by the visual tokens z_0, z_1, ...; the position before
z_n predicts it. Queries and keys are rotated by the token's row and column. As released, those of a
condition are multiplied by zero: every token gives it the score 0, so that it acts by its value
alone. The condition is the class's embedding, or S prompts in its place, see `ROTATIONS`.
"""

from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from flax.core import FrozenDict

from vpt_gen.nets.additions import Adapter, own_or_added, with_prefix
from vpt_gen.nets.attention import LayerCache, attention
from vpt_gen.nets.causal import CausalNet, Head
from vpt_gen.nets.causal_layers import write
from vpt_gen.nets.layers import Dense, FromHeads, ToHeads, sum_type
from vpt_gen.nets.layout import named
from vpt_gen.nets.stack import rematerialized
from vpt_gen.nets.transformer import GATE, NO_CLASS, LayerParts, Matrix, rows_modulo
from vpt_gen.ranges import Depth, ShareBelowOne, Size, SizeOrZero

_kernel_init = nn.initializers.normal(0.02)
_BASE = 10000.0

# How prompts enter.
#   zero: as the class, without keys and queries; together they have the weight of one class, so
#     that S equal prompts are a class. As scores say it: log S less for each of them.
#   plain: the same, each with the weight of a class, as released for prefixes of text.
#   identity: with keys and queries of their own, as those of a token that is not rotated. Nothing
#     like them occurred in pretraining.
ROTATIONS = ("zero", "plain", "identity")

# Rows of the table of rotations before those of the tokens.
_ZERO, _IDENTITY, _TOKENS = range(3)


def rotation_table(grid: tuple[int, int], head_size: int) -> np.ndarray:
    """Returns cosines and sines (2 + N, E / 2, 2): of nothing, of no rotation, and of N tokens.

    The first half of a head's E / 2 pairs of channels turns with the row, the other half with the
    column, in radians from 1 per step to almost 1 / 10000.
    """
    height, width = grid
    half = head_size // 2
    # As released, in float32.
    rates = 1.0 / np.float32(_BASE) ** (np.arange(0, half, 2, dtype=np.float32) / half)
    rows, columns = np.divmod(np.arange(height * width), width)
    angles = np.concatenate([np.outer(rows, rates), np.outer(columns, rates)], axis=1)
    of_tokens = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    before = np.zeros((2, half, 2))
    before[_IDENTITY, :, 0] = 1.0
    return np.concatenate([before, of_tokens]).astype(np.float32)


@struct.dataclass
class Inputs:
    """Embedded positions.

    Attributes:
      states: (B, T, D).
      rows: (B, T), of the table of rotations.
      conditions: how many of them, from the first on, are a condition of weight one.
    """

    states: jax.Array
    rows: jax.Array
    conditions: int = struct.field(pytree_node=False, default=0)


@struct.dataclass
class Rotation:
    """What layers need to know of positions.

    Attributes:
      cos, sin: (B, 1, T', E / 2), of the positions after such a condition.
      known: (B, T), of a condition, which a cache has already.
      conditions: see `Inputs`.
    """

    cos: jax.Array
    sin: jax.Array
    known: jax.Array
    conditions: int = struct.field(pytree_node=False)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Rotates (B, H, T', E): each two neighboring channels are one pair."""
        pairs = x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2).astype(self.cos.dtype)
        a, b = pairs[..., 0], pairs[..., 1]
        rotated = jnp.stack([a * self.cos - b * self.sin, b * self.cos + a * self.sin], axis=-1)
        return rotated.reshape(x.shape).astype(x.dtype)


class GroupedAttention(nn.Module):
    """Causal attention (B, T, D) -> (B, T, D) whose query heads share keys and values by groups."""

    num_heads: int
    num_key_heads: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: LayerCache | None,
        start: jax.Array | int,
        layer: jax.Array | None,
        deterministic: bool,
        rotation: Rotation,
    ) -> tuple[jax.Array, LayerCache]:
        """Attends from positions start..start+T-1 to themselves and to the cache before them.

        A condition of weight one is one position of the cache, whatever its length: its key is
        zero, its value the mean of its values.
        """
        size = x.shape[-1] // self.num_heads

        def heads(name: str, count: int, x: jax.Array) -> jax.Array:
            return ToHeads(count, _kernel_init, use_bias=False, head_size=size, name=name)(x)

        count, of_condition = rotation.conditions, None
        # A condition of weight one needs neither queries nor keys.
        query = rotation(heads("query", self.num_heads, x[:, count:]))
        key = rotation(heads("key", self.num_key_heads, x[:, count:]))
        value = heads("value", self.num_key_heads, x)
        if count:
            of_condition = self._evenly(value[:, :, :count])
            mean = value[:, :, :count].mean(axis=2, keepdims=True)
            value = jnp.concatenate([mean, value[:, :, count:]], axis=2)
            key = jnp.concatenate([jnp.zeros_like(mean), key], axis=2)
        new_cache = LayerCache(key, value)
        if cache is not None:
            keys, key = write(cache.keys, key, start, layer, rotation.known)
            values, value = write(cache.values, value, start, layer, rotation.known)
            new_cache = LayerCache(keys, values)
        length = key.shape[2]
        key, value = with_prefix(self, self._to_queries(key), self._to_queries(value))
        # An added prefix comes before all positions.
        positions = jnp.arange(length - key.shape[2], length)
        queries = start + bool(count) + jnp.arange(query.shape[2])
        attended = attention(query, key, value, positions[None, :] <= queries[:, None])
        if of_condition is not None:
            attended = jnp.concatenate([of_condition, attended], axis=2)
        output = FromHeads(_kernel_init, use_bias=False, name="projection")(attended)
        return nn.Dropout(self.dropout_rate)(output, deterministic), new_cache

    def _to_queries(self, x: jax.Array) -> jax.Array:
        """Repeats each head of (B, G, T, E) for the consecutive query heads that it serves."""
        return jnp.repeat(x, self.num_heads // self.num_key_heads, axis=1)

    def _evenly(self, value: jax.Array) -> jax.Array:
        """What each position of a condition attends to: all up to itself, evenly."""
        own = self._to_queries(value)
        _, seen = with_prefix(self, own, own)
        sums = jnp.cumsum(seen.astype(sum_type(seen.dtype)), axis=2)
        means = sums / jnp.arange(1, seen.shape[2] + 1)[:, None]
        return means[:, :, -own.shape[2] :].astype(seen.dtype)


class Block(nn.Module):
    """One layer: normalized before attention and before a gated MLP; no biases."""

    num_heads: int
    num_key_heads: int
    intermediate_size: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: LayerCache | None,
        start: jax.Array | int,
        layer: jax.Array | None,
        deterministic: bool,
        rotation: Rotation,
    ) -> tuple[jax.Array, LayerCache]:
        """Applies the layer to (B, T, D); for the arguments see `causal_layers.Block`."""
        attended, cache = GroupedAttention(
            self.num_heads, self.num_key_heads, self.dropout_rate, name="attention"
        )(_norm("attention_norm")(x), cache, start, layer, deterministic, rotation)
        x = named(x + Adapter(name="attention_adapter")(attended), "batch")
        normed = _norm("mlp_norm")(x)
        gate, hidden = (
            named(self._dense(self.intermediate_size, name)(normed), "batch", None, "hidden")
            for name in ("mlp_gate", "mlp_in")
        )
        output = self._dense(x.shape[-1], "mlp_out")(nn.silu(gate) * hidden)
        output = nn.Dropout(self.dropout_rate)(output, deterministic)
        return named(x + Adapter(name="mlp_adapter")(output), "batch"), cache

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(features, _kernel_init, use_bias=False, name=name)


def _norm(name: str) -> nn.RMSNorm:
    return nn.RMSNorm(epsilon=1e-5, name=name)


class LlamaGen(CausalNet):
    """Causal visual token model; the defaults are the published `c2i_B_256`.

    Attributes:
      codebook_size: K.
      num_classes: of the data; the table of classes has one row more, for none.
      num_tokens: N, a square number: positions are places in its grid. Sequences may be shorter.
      num_key_heads: heads of keys and values, each for as many consecutive heads of queries; 0: as
        many as these.
      prompt_rotation: of `ROTATIONS`, how prompts enter.
      remat: a key of `nets.stack.REMAT`.

    Layers compute in the type of their matrices (see `nets/precision.py`); norms, rotations,
    softmax, logits and the residual stream are float32. Parameters may be stacked (see
    `nets/stack.py`), and hold additions (see `nets/additions.py`): with added class tokens, these
    are the classes.
    """

    title = "LlamaGen"
    layer_prefix = "block_"
    parts = LayerParts(
        matrices={
            "query": Matrix(("attention", "query")),
            "key": Matrix(("attention", "key")),
            "value": Matrix(("attention", "value")),
            "out": Matrix(("attention", "projection"), axes_in=2),
            "mlp_in": Matrix(("mlp_in",)),
            GATE: Matrix(("mlp_gate",)),
            "mlp_out": Matrix(("mlp_out",)),
        },
        attention_adapter=("attention_adapter",),
        mlp_adapter=("mlp_adapter",),
        prefix=("attention", "prefix"),
    )
    kept_hidden = (2, 5)
    # As released.
    pretraining = FrozenDict({"dropout_rate": 0.1, "class_dropout": 0.1})

    codebook_size: int = 16384
    num_classes: int = 1000
    num_tokens: int = 256
    num_layers: Depth = 12
    hidden_size: Size = 768
    num_heads: Size = 12
    num_key_heads: SizeOrZero = 0
    intermediate_size: Size = 2048
    dropout_rate: ShareBelowOne = 0.0
    prompt_rotation: str = "zero"
    remat: str = "none"

    def __post_init__(self):
        if self.hidden_size % (4 * self.num_heads):
            raise ValueError(
                f"A LlamaGen rotates each head's channels by fours: a width of {self.hidden_size} "
                f"does not give {self.num_heads} heads a multiple of 4."
            )
        if self.num_heads % self.cache_heads:
            raise ValueError(
                f"{self.num_heads} heads of queries cannot share {self.cache_heads} of keys evenly."
            )
        if self.prompt_rotation not in ROTATIONS:
            raise ValueError(
                f"Prompts enter by one of {', '.join(ROTATIONS)}, not {self.prompt_rotation!r}."
            )
        super().__post_init__()

    @property
    def cache_heads(self) -> int:
        return self.num_key_heads or self.num_heads

    @nn.nowrap
    def taking_prompts(self, rotation: str) -> Self:
        if rotation not in ("", *ROTATIONS):
            raise ValueError(f"it must be '' or one of {', '.join(ROTATIONS)}")
        return self.clone(prompt_rotation=rotation) if rotation else self

    @nn.nowrap
    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        # If the source has no classes, each starts as none, the table's last row.
        table = params["condition_embeddings"]["embedding"]
        return rows_modulo(table, 0, self.num_classes, num_classes)

    @property
    def layer_parameters(self) -> int:
        d = self.hidden_size
        return 2 * d * d + 2 * self._key_parameters + 3 * d * self.intermediate_size

    @property
    def cached_numbers(self) -> int:
        return 2 * self.hidden_size * self.cache_heads // self.num_heads

    @property
    def _key_parameters(self) -> int:
        return self.hidden_size**2 * self.cache_heads // self.num_heads

    @nn.nowrap
    def cached_prompts(self, num_prompt_tokens: int) -> int:
        return min(num_prompt_tokens, 1) if self.prompt_rotation == "zero" else num_prompt_tokens

    @nn.nowrap
    def attended(self, length: int, num_prompt_tokens: int = 0) -> int:
        if self.prompt_rotation != "zero" or not num_prompt_tokens:
            return length * length
        tokens = length - num_prompt_tokens
        return tokens * (tokens + 1)

    @nn.nowrap
    def weight_products(self, length: int, num_prompt_tokens: int = 0) -> int:
        without = num_prompt_tokens if self.prompt_rotation == "zero" else 0
        of_query_and_key = self.hidden_size**2 + self._key_parameters
        return length * self.layer_parameters - without * of_query_and_key

    @nn.nowrap
    def check_length(self, first_position: int, num_tokens: int) -> None:
        """Raises ValueError if so many visual tokens do not fit into the grid."""
        if first_position + num_tokens > self.num_tokens:
            raise ValueError(
                f"{num_tokens} tokens do not fit into the grid of {self.num_tokens} tokens."
            )

    def setup(self):
        self.token_embeddings = nn.Embed(
            self.codebook_size, self.hidden_size, embedding_init=_kernel_init
        )
        self.condition_embeddings = nn.Embed(
            self.num_classes + 1, self.hidden_size, embedding_init=_kernel_init
        )
        self.dropout = nn.Dropout(self.dropout_rate)
        self.blocks = [self._block(name=f"{self.layer_prefix}{i}") for i in range(self.num_layers)]
        self.final_norm = nn.RMSNorm(epsilon=1e-5)
        self.head = Head(self.codebook_size, nn.initializers.zeros)

    @nn.nowrap
    def _block(self, **where: Any) -> Block:
        block = rematerialized(Block, self.remat, 5)
        sizes = self.num_heads, self.cache_heads, self.intermediate_size
        return block(*sizes, self.dropout_rate, **where)

    @nn.nowrap
    def layer_inputs(self, x: Inputs) -> tuple[jax.Array, tuple[Any, ...]]:
        table = rotation_table(self.grid(self.num_tokens), self.hidden_size // self.num_heads)
        of_rows = jnp.asarray(table)[x.rows[:, x.conditions :]][:, None]
        known = x.rows < _TOKENS
        return x.states, (Rotation(of_rows[..., 0], of_rows[..., 1], known, x.conditions),)

    @nn.nowrap
    def joined(self, prefix: Inputs, x: Inputs) -> Inputs:
        states, rows = (
            jnp.concatenate(pair, axis=1)
            for pair in ((prefix.states, x.states), (prefix.rows, x.rows))
        )
        return Inputs(states, rows, prefix.conditions)

    @nn.nowrap
    def first_input(self, prefix: Inputs) -> Inputs:
        return Inputs(prefix.states[:, -1:], prefix.rows[:, -1:])

    def normalized(self, hidden: jax.Array) -> jax.Array:
        return self.final_norm(hidden)

    def embed(self, tokens: jax.Array, first_position: jax.Array | int) -> Inputs:
        """Tokens (B, T), of which the first is z_n for the position n."""
        states = self._wide(self.token_embeddings(tokens))
        rows = _TOKENS + first_position + jnp.arange(tokens.shape[1])
        return Inputs(states, jnp.broadcast_to(rows, tokens.shape))

    def prefix(
        self, prompts: jax.Array | None = None, class_ids: jax.Array | None = None
    ) -> tuple[Inputs, int]:
        """What stands before the visual tokens, S positions, and the position of z_0.

        Args:
          prompts: (B, S, D), or None.
          class_ids: (B,), or None. `NO_CLASS` is none.

        Raises:
          ValueError: neither is given, or both, or prompts of no token.
        """
        if prompts is not None and class_ids is None:
            if prompts.shape[1] == 0:
                raise ValueError("Prompts must hold one token at least.")
            return _condition(self._wide(prompts), self.prompt_rotation), 0
        if prompts is not None or class_ids is None:
            raise ValueError("A LlamaGen needs either prompts or class ids before the tokens.")
        numbers = jnp.where(class_ids == NO_CLASS, self.num_classes, class_ids)
        rows = own_or_added(self, class_ids, self._wide(self.condition_embeddings(numbers)))
        return _condition(rows[:, None]), 0

    def _wide(self, x: jax.Array) -> jax.Array:
        return x.astype(sum_type(self.token_embeddings.embedding.dtype))


def _condition(states: jax.Array, prompt_rotation: str = "zero") -> Inputs:
    count = states.shape[1]
    row = _IDENTITY if prompt_rotation == "identity" else _ZERO
    rows = jnp.full(states.shape[:2], row, jnp.int32)
    return Inputs(states, rows, count if prompt_rotation == "zero" else 0)
