"""RAR's transformer: causal, and modulated by the class and the place in every layer (adaLN).

Source: RAR (arXiv 2411.00776), bytedance/1d-tokenizer `modeling/rar.py`.

The input sequence is [cls], a condition and the visual tokens z_0, z_1, ...; the position before
z_n predicts it. Besides its own position, an input gets a row for the place of the token that it
predicts, so that tokens may come in any order of places; sampling is row by row. What modulates a
layer at a position is the class's vector plus a row for the position's number in the sequence.

Prompts take the condition's place, without a position and without a row for what comes next, and
with its modulation. While they are the condition, the vector is the one of no class, which
pretraining gave to a tenth of the images and which guidance leads away from; a vector per condition
may be added to it. Without one, modulation depends neither on the image nor on the prompts.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from flax.core import FrozenDict

from vpt_gen.nets.additions import Adapter, own_or_added
from vpt_gen.nets.attention import LayerCache
from vpt_gen.nets.causal import Cache, CausalNet, Head
from vpt_gen.nets.causal_layers import CausalAttention
from vpt_gen.nets.layers import Dense, sum_type
from vpt_gen.nets.layout import named
from vpt_gen.nets.modulated_layers import Modulation
from vpt_gen.nets.stack import STACKED, rematerialized
from vpt_gen.nets.transformer import NO_CLASS, LayerParts, Matrix, rows_modulo
from vpt_gen.ranges import Depth, ShareBelowOne, Size

_kernel_init = nn.initializers.normal(0.02)
_EPSILON = 1e-6
# Places in the sequence before z_0: of [cls], and of the condition or any of the prompts.
_CLS, _CONDITION, _TOKENS = range(3)


@struct.dataclass
class Modulations:
    """What modulates the layers and the last norm, already computed.

    Attributes:
      layers: (B, L, T, 6 D).
      head: (B, T, 2 D).
    """

    layers: jax.Array
    head: jax.Array


@struct.dataclass
class Inputs:
    """Embedded positions.

    Attributes:
      states: (B, T, D).
      vectors: (B, D) of the condition or, if it is the same for all, (1, D). The states then begin
        with [cls]. None for tokens alone.
      modulations: computed from vectors, for T = 1; or None.
      conditions: S, how many positions after [cls] are prompts, or the class.
    """

    states: jax.Array
    vectors: jax.Array | None = None
    modulations: Modulations | None = None
    conditions: int = struct.field(pytree_node=False, default=0)


@struct.dataclass
class Vectors:
    """What modulation is computed from: rows (B or 1, R, D), and whose row is which, (T,)."""

    rows: jax.Array
    places: jax.Array

    def __call__(self, modulation: Modulation) -> jax.Array:
        """Returns (B or 1, T, ...); prompts share a row, and the products with it."""
        return modulation(self.rows)[:, self.places]


class Block(nn.Module):
    """One layer: x + gate * branch(norm(x) * (1 + scale) + shift), for attention and the MLP."""

    num_heads: int
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
        vectors: Vectors | None,
        modulation: jax.Array | None = None,
    ) -> tuple[jax.Array, LayerCache]:
        """Applies the layer to (B, T, D); for other arguments see `causal_layers.Block`.

        Args:
          x: hidden states.
          cache: of this layer, or of all.
          start: position of `x` in the cache.
          layer: its number, if the cache is stacked.
          deterministic: no dropout.
          vectors: from which modulation is computed, or None.
          modulation: the result, (B or 1, T, 6 D), if `vectors` are None.
        """
        if vectors is not None:
            modulation = vectors(Modulation(6, name="modulation"))
        assert modulation is not None  # One of both is given.
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = jnp.split(modulation, 6, axis=-1)
        attention = CausalAttention(
            self.num_heads, self.dropout_rate, norm_epsilon=_EPSILON, name="attention"
        )
        normed = _norm("attention_norm")(x) * (1 + scale) + shift
        attended, cache = attention(normed, cache, start, layer, deterministic)
        x = named(x + gate * Adapter(name="attention_adapter")(attended), "batch")
        normed = _norm("mlp_norm")(x) * (1 + mlp_scale) + mlp_shift
        hidden = Dense(self.intermediate_size, _kernel_init, name="mlp_in")(normed)
        hidden = nn.gelu(named(hidden, "batch", None, "hidden"), approximate=False)
        output = Dense(x.shape[-1], _kernel_init, name="mlp_out")(hidden)
        output = nn.Dropout(self.dropout_rate)(output, deterministic)
        return named(x + mlp_gate * Adapter(name="mlp_adapter")(output), "batch"), cache


class LastNorm(nn.Module):
    """norm(x) * (1 + scale) + shift; the norm has no parameters, and scale comes first."""

    def setup(self):
        self.norm = nn.LayerNorm(epsilon=_EPSILON, use_bias=False, use_scale=False)
        self.modulation = Modulation(2)

    def __call__(
        self, x: jax.Array, vectors: Vectors | None, modulation: jax.Array | None
    ) -> jax.Array:
        """Normalizes x (B, T, D); for the arguments see `Block`."""
        if vectors is not None:
            modulation = vectors(self.modulation)
        assert modulation is not None  # One of both is given.
        scale, shift = jnp.split(modulation, 2, axis=-1)
        return self.norm(x) * (1 + scale) + shift


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=_EPSILON, name=name)


class RAR(CausalNet):
    """Causal visual token model; the defaults are the published `rar_b`.

    Attributes:
      codebook_size: K.
      num_classes: C; the table of conditions has one row more, for none.
      num_tokens: N, a square number. Sequences may be shorter.
      remat: a key of `nets.stack.REMAT`.

    Costs are counted without modulation, which all images of a condition share: of RAR, a third of
    a layer's numbers. Decoding keeps its results for at most 256 rows of 6 L D numbers, one row per
    place and condition (`decode/causal_steps.py`).

    Layers compute in the type of their matrices (see `nets/precision.py`); norms, modulation,
    softmax, logits and the residual stream are float32. Parameters may be stacked (see
    `nets/stack.py`), and hold additions (see `nets/additions.py`): with added class tokens, these
    are the conditions, and modulate.
    """

    title = "RAR"
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
    takes_vectors = True
    # As released.
    pretraining = FrozenDict({"dropout_rate": 0.1, "class_dropout": 0.1})

    codebook_size: int = 1024
    num_classes: int = 1000
    num_tokens: int = 256
    num_layers: Depth = 24
    hidden_size: Size = 768
    num_heads: Size = 16
    intermediate_size: Size = 3072
    dropout_rate: ShareBelowOne = 0.0
    remat: str = "none"

    @nn.nowrap
    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        # If the source has no classes, each starts as none, the table's last row.
        table = params["condition_embeddings"]["embedding"]
        return rows_modulo(table, 0, self.num_classes, num_classes)

    @nn.nowrap
    def num_inputs(self, num_tokens: int, num_prompt_tokens: int) -> int:
        return self.prefix_length(num_prompt_tokens) + num_tokens - 1

    @nn.nowrap
    def prefix_length(self, num_prompt_tokens: int) -> int:
        return 1 + max(num_prompt_tokens, 1)

    @nn.nowrap
    def cached_prompts(self, num_prompt_tokens: int) -> int:
        return self.prefix_length(num_prompt_tokens)

    @nn.nowrap
    def check_length(self, first_position: int, num_tokens: int) -> None:
        """Raises ValueError if so many visual tokens do not fit into the table of positions."""
        if first_position + num_tokens > self.num_tokens:
            raise ValueError(f"{num_tokens} tokens do not fit into {self.num_tokens} positions.")

    def setup(self):
        def table(size: int) -> nn.Embed:
            return nn.Embed(size, self.hidden_size, embedding_init=_kernel_init)

        self.token_embeddings = table(self.codebook_size)
        self.condition_embeddings = table(self.num_classes + 1)
        self.position_embeddings = table(_TOKENS + self.num_tokens)
        # By the place of the token that comes next.
        self.target_embeddings = table(self.num_tokens)
        # By the number in the sequence, which the release calls a time step.
        self.time_embeddings = table(_TOKENS + self.num_tokens)
        self.cls_token = self.param("cls_token", _kernel_init, (self.hidden_size,))
        self.dropout = nn.Dropout(self.dropout_rate)
        self.blocks = [self._block(name=f"{self.layer_prefix}{i}") for i in range(self.num_layers)]
        self.final_norm = LastNorm()
        self.head = Head(self.codebook_size, use_bias=True)

    @nn.nowrap
    def _block(self, **where: Any) -> Block:
        block = rematerialized(Block, self.remat, 5)
        return block(self.num_heads, self.intermediate_size, self.dropout_rate, **where)

    @nn.nowrap
    def joined(self, prefix: Inputs, x: Inputs) -> Inputs:
        states = jnp.concatenate([prefix.states, x.states], axis=1)
        return dataclasses.replace(prefix, states=states)

    def first_input(self, prefix: Inputs) -> Inputs:
        """The last position of a prefix, (B, 1, D), with its modulation."""
        places = jnp.array([_CONDITION])
        modulations = jax.tree.map(lambda x: x[0], self._modulations(prefix.vectors, places))
        return self.conditioned(Inputs(prefix.states[:, -1:]), modulations)

    def of_places(self, prefix: Inputs, positions: jax.Array) -> Modulations:
        return self._modulations(prefix.vectors, _TOKENS + positions)

    @nn.nowrap
    def conditioned(self, x: Inputs, of_place: Modulations) -> Inputs:
        count = len(x.states)
        alike = jax.tree.map(lambda m: jnp.broadcast_to(m, (count, *m.shape[1:])), of_place)
        return Inputs(x.states, modulations=alike)

    def _modulations(self, vectors: jax.Array | None, places: jax.Array) -> Modulations:
        """For vectors (B, D), at each of the places (T,): arrays (T, B, ...) of one position."""
        assert vectors is not None  # A prefix has them.
        rows = self._times(places)[:, None] + vectors

        def of_layer(params):
            return Modulation(6, parent=None).apply({"params": params["modulation"]}, rows)

        stacked: Any = self.get_variable("params", STACKED)
        if stacked is None:
            names = (f"{self.layer_prefix}{i}" for i in range(self.num_layers))
            own: Any = (self.get_variable("params", name) for name in names)
            layers = jnp.stack([of_layer(params) for params in own], axis=2)
        else:
            layers = jax.lax.map(of_layer, {"modulation": stacked["modulation"]})
            layers = jnp.moveaxis(layers, 0, 2)
        return Modulations(layers[..., None, :], self.final_norm.modulation(rows)[..., None, :])

    def _vectors(self, x: Inputs) -> Vectors | None:
        if x.modulations is not None:
            return None
        assert x.vectors is not None  # Without modulations there are vectors.
        count = x.states.shape[1] - x.conditions + 1
        after = jnp.arange(_TOKENS, count)
        before = jnp.array([_CLS] + [_CONDITION] * x.conditions)
        rows = x.vectors[:, None] + self._times(jnp.arange(count))
        return Vectors(rows, jnp.concatenate([before, after]))

    def _times(self, places: jax.Array) -> jax.Array:
        return self._wide(self.time_embeddings(places))

    def layer_inputs(self, x: Inputs) -> tuple[jax.Array, tuple[Any, ...]]:
        return x.states, (self._vectors(x),)

    @nn.nowrap
    def of_layers(self, x: Inputs) -> tuple[jax.Array, ...]:
        return () if x.modulations is None else (jnp.moveaxis(x.modulations.layers, 1, 0),)

    def hidden_states(
        self,
        x: Inputs,
        cache: Cache | None = None,
        start: jax.Array | int = 0,
        deterministic: bool = True,
    ) -> tuple[jax.Array, Cache]:
        """The layers and the last norm, which depends on the positions; see `CausalNet`."""
        hidden, cache = super().hidden_states(x, cache, start, deterministic)
        known = None if x.modulations is None else x.modulations.head
        return self.final_norm(hidden, self._vectors(x), known), cache

    def normalized(self, hidden: jax.Array) -> jax.Array:
        return hidden

    def embed(
        self, tokens: jax.Array, first_position: jax.Array | int, places: jax.Array | None = None
    ) -> Inputs:
        """Tokens (B, T), of which the first is z_n for the position n.

        Args:
          tokens: visual tokens.
          first_position: n.
          places: (B, T + 1) in the image, row-major, of these and of the token after them; N if
            there is none. None: tokens come row by row.
        """
        if places is None:
            places = first_position + jnp.arange(tokens.shape[1] + 1)
        states = self._wide(self.token_embeddings(tokens))
        states = states + self._wide(self.position_embeddings(_TOKENS + places[..., :-1]))
        return Inputs(states + self._target(places[..., 1:]))

    def _target(self, places: jax.Array) -> jax.Array:
        """What tells an input that the tokens at these places (...) come next, (..., D)."""
        rows = self.target_embeddings(jnp.minimum(places, self.num_tokens - 1))
        return jnp.where((places < self.num_tokens)[..., None], self._wide(rows), 0.0)

    def prefix(
        self,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        vectors: jax.Array | None = None,
        first_place: jax.Array | None = None,
    ) -> tuple[Inputs, int]:
        """What stands before the visual tokens, and the position of z_0.

        Args:
          prompts: (B, S, D), or None. S may be 0 if there are vectors.
          class_ids: (B,), or None. `NO_CLASS` is none.
          vectors: (B, D), added to what modulates, or None; alone, they modulate no class.
          first_place: (B,), place of z_0 in the image, which a class announces; None: the first.

        Returns:
          1 + S positions, or 2 without prompts, and 0.

        Raises:
          ValueError: nothing is given, prompts and classes are, or prompts of no token alone.
        """
        if prompts is not None and prompts.shape[1] == 0:
            if vectors is None:
                raise ValueError("Prompts must hold one token at least.")
            prompts = None
        if prompts is not None and class_ids is not None:
            raise ValueError("A RAR needs either prompts or class ids before the tokens.")
        given = next((x for x in (prompts, class_ids, vectors) if x is not None), None)
        if given is None:
            raise ValueError("A RAR needs prompts, class ids or vectors before the tokens.")
        modulating = self._condition(class_ids)
        if prompts is None:
            if first_place is None:
                first_place = jnp.zeros(1, jnp.int32)
            position = self._wide(self.position_embeddings(jnp.array([_CONDITION])))
            condition = (modulating + position + self._target(first_place))[:, None]
        else:
            condition = self._wide(prompts)
        if vectors is not None:
            modulating = modulating + vectors
        cls = self._wide(self.cls_token + self.position_embeddings(jnp.array([_CLS])))
        parts = [jnp.broadcast_to(x, (len(given), *x.shape[1:])) for x in (cls[None], condition)]
        states = jnp.concatenate(parts, axis=1)
        return Inputs(states, modulating, conditions=condition.shape[1]), 0

    def _condition(self, class_ids: jax.Array | None) -> jax.Array:
        """Vectors (B, D) of classes (B,), or (1, D) of none."""
        if class_ids is None:
            class_ids = jnp.array([NO_CLASS])
        numbers = jnp.where(class_ids == NO_CLASS, self.num_classes, class_ids)
        return own_or_added(self, class_ids, self._wide(self.condition_embeddings(numbers)))

    def _wide(self, x: jax.Array) -> jax.Array:
        return x.astype(sum_type(self.token_embeddings.embedding.dtype))

    def __call__(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
        vectors: jax.Array | None = None,
        orders: jax.Array | None = None,
    ) -> jax.Array:
        """Logits (B, N, K): row n predicts token n from the prefix and the tokens before it.

        Args:
          tokens: (B, N) visual tokens, in the order of the sequence.
          prompts: (B, S, D), or None.
          class_ids: (B,), or None.
          deterministic: no dropout.
          vectors: (B, D), added to what modulates, or None.
          orders: (B, N), the place of each token in the image, row-major; None: row by row.

        Raises:
          ValueError: see `prefix`; or more tokens than positions.
        """
        first_place = None if orders is None else orders[:, 0]
        prefix = self.prefix(prompts, class_ids, vectors, first_place)
        return self.of_sequence(tokens, *prefix, deterministic, orders)
