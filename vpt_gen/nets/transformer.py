"""The protocol of token transformers: what a net that models visual tokens provides.

Objectives, decoders, methods of adaptation, costs and pages use this protocol and never test which
net it is. A new transformer derives from `MaskedTransformer` or `CausalTransformer`, and from
`nn.Module`, and overrides what differs. Its modules have the names that `machine/sharding.py`
knows, or get a rule there; its layers look for additions (`nets/additions.py`) at the places in its
`parts`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import jax
import jax.numpy as jnp

Path = tuple[str, ...]

# Ids for an unknown visual token, and for no class.
MASK_TOKEN_ID = -1
NO_CLASS = -1

# Matrices of a layer, by role: of attention, and of the MLP.
MATRICES = ("query", "key", "value", "out", "mlp_in", "mlp_out")
# One more, of gated MLPs.
GATE = "mlp_gate"

# Fields of nets that say how they compute and take prompts: no part of a stored net.
OPTIONS = ("remat", "prompt_rotation")


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A matrix of a layer: its module's path in the layer, and how many of its axes are inputs."""

    path: Path
    axes_in: int = 1


@dataclasses.dataclass(frozen=True)
class LayerParts:
    """Paths at which methods find or add parameters in one layer (`nets/additions.py`).

    Attributes:
      matrices: role, one of `MATRICES` or `GATE`, -> the matrix.
      attention_adapter, mlp_adapter: subtrees of the bottlenecks after attention and MLP, and of
        the scales of what both give.
      prefix: subtree of the keys and values that every position attends to.
    """

    matrices: Mapping[str, Matrix]
    attention_adapter: Path
    mlp_adapter: Path
    prefix: Path


class TokenTransformer:
    """What all transformers of visual tokens have in common.

    `net.apply(variables, tokens, prompts=..., class_ids=..., deterministic=...)` gives logits
    (B, N, K). A condition is prompts (B, S, D), class ids (B,), or both if the net supports it. If
    it `takes_vectors`, these (B, D) may be a condition too, alone or with prompts.

    Attributes:
      family: "nar" (predicts masked tokens, decodes in parallel) or "ar" (one after another). It
        decides the objective and which decoders fit.
      title: name of the net in pages and messages.
      layer_prefix: name of a layer's parameters, without its number.
      parts: paths in the parameters of a layer.
      from_data: fields that follow from tokenizer and data; a pretraining config has the others.
      pretraining: further fields of a pretraining config, and defaults that differ from the net's.
      takes_vectors: whether a vector modulates the net, to which `vectors=...` (B, D) is added.
      kept_hidden: arrays of its MLP's hidden units that a layer stores for the backward pass: the
        results of products, and all (`tables/costs.py`).
      keeps_output: whether the backward pass needs the output of its MLP, as a norm follows.
      one_dimensional: whether its tokens form a sequence, without places in the image: there is no
        `grid`, no order over the image and no row of it.
      free_heads: whether `num_heads` need not divide `hidden_size`.
    """

    family: ClassVar[str]
    title: ClassVar[str]
    layer_prefix: ClassVar[str]
    parts: ClassVar[LayerParts]
    from_data: ClassVar[tuple[str, ...]] = ("codebook_size", "num_classes", "num_tokens")
    pretraining: ClassVar[Mapping[str, Any]] = {}
    takes_vectors: ClassVar[bool] = False
    kept_hidden: ClassVar[tuple[int, int]] = (1, 3)
    keeps_output: ClassVar[bool] = False
    one_dimensional: ClassVar[bool] = False
    free_heads: ClassVar[bool] = False

    codebook_size: int  # K
    # The three properties of data below are those of nets with these two fields; others override.
    num_classes: int
    num_tokens: int
    num_layers: int
    hidden_size: int  # D, the width of a prompt
    num_heads: int
    intermediate_size: int
    remat: str

    if TYPE_CHECKING:  # What every transformer inherits from `nn.Module`, and its own call.

        def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any: ...

        def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any: ...

        def clone(self, **updates: Any) -> Self: ...

        def __call__(
            self,
            tokens: jax.Array,
            prompts: jax.Array | None = None,
            class_ids: jax.Array | None = None,
            deterministic: bool = True,
        ) -> jax.Array: ...

    @classmethod
    def for_data(cls, codebook_size: int, num_classes: int, num_tokens: int, **fields: Any) -> Self:
        """Makes an untrained net for a tokenizer's tokens and the classes of a data set.

        Raises:
          ValueError: data that the net cannot model.
        """
        make: Any = cls
        return cast(Self, make(codebook_size, num_classes, num_tokens, **fields))

    def dropping_classes(self, num_classes: int) -> Self:
        """Returns the net for pretraining with classes [0, num_classes) and, now and then, none.

        Raises:
          ValueError: there is no room for one class more.
        """
        del num_classes
        return self

    @property
    def known_classes(self) -> int | None:
        """Returns the number of classes it was pretrained on; None if its fields do not tell."""
        return self.num_classes

    @property
    def token_counts(self) -> tuple[int, int]:
        """Returns the fewest and the most visual tokens it takes."""
        return self.num_tokens, self.num_tokens

    def class_starts(self, params: Any, num_classes: int) -> jax.Array:
        """Returns initial class tokens (C, D): class c from the source's class c modulo its number.

        Args:
          params: the net's.
          num_classes: C.
        """
        raise NotImplementedError

    def taking_prompts(self, rotation: str) -> Self:
        """Returns the net that rotates prompts in another way; '' is its own.

        Raises:
          ValueError: a way that it does not have.
        """
        if rotation:
            raise ValueError(f"a {self.title} rotates nothing: use ''")
        return self

    def grid(self, num_tokens: int) -> tuple[int, int]:
        """Returns height and width of the grid that N tokens form.

        Raises:
          ValueError: the tokens form no square, or no grid at all (`one_dimensional`).
        """
        if self.one_dimensional:
            raise ValueError(f"the tokens of a {self.title} form a sequence, not a grid")
        side = math.isqrt(num_tokens)
        if side * side != num_tokens:
            raise ValueError(f"{num_tokens} visual tokens form no square image.")
        return side, side

    def shown_grid(self, num_tokens: int) -> tuple[int, int]:
        """Returns height and width at which N tokens are shown: their grid, or one row of all."""
        return (1, num_tokens) if self.one_dimensional else self.grid(num_tokens)

    def to_sequence(self, tokens: jax.Array) -> jax.Array:
        """Returns row-major visual tokens (B, N) in the order of the net's input."""
        return tokens

    def to_row_major(self, tokens: jax.Array) -> jax.Array:
        """The inverse of `to_sequence`."""
        return tokens

    def num_inputs(self, num_tokens: int, num_prompt_tokens: int) -> int:
        """Counts the positions of a training sequence: prompts and input tokens."""
        raise NotImplementedError

    def num_logit_rows(self, num_tokens: int) -> int:
        """Counts the positions whose logits are computed while decoding N tokens."""
        raise NotImplementedError

    @property
    def head_parameters(self) -> int:
        """Counts the parameters of the matrices between a hidden state and its codebook logits."""
        return self.hidden_size * self.codebook_size

    @property
    def layer_parameters(self) -> int:
        """Counts the numbers of the matrices that a layer multiplies with every position.

        4 D^2 for attention, 2 D M for an MLP of width M.
        """
        return 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size

    @property
    def attention_width(self) -> int:
        """Returns the channels of a position's query, over all heads."""
        return self.hidden_size

    def prefix_length(self, num_prompt_tokens: int) -> int:
        """Counts the positions before the visual tokens of a causal net with S prompts."""
        return num_prompt_tokens

    def cached_prompts(self, num_prompt_tokens: int) -> int:
        """Counts the positions that S prompts take among the keys and values."""
        return num_prompt_tokens

    @property
    def cached_numbers(self) -> int:
        """Counts the numbers in a layer's keys and values at one position."""
        return 2 * self.hidden_size

    def attended(self, length: int, num_prompt_tokens: int = 0) -> int:
        """Counts the pairs of a query and a key in a sequence that S prompts are a part of."""
        del num_prompt_tokens
        return length * length

    def weight_products(self, length: int, num_prompt_tokens: int = 0) -> int:
        """Counts the products of a layer's weights with the positions of such a sequence."""
        del num_prompt_tokens
        return length * self.layer_parameters

    def repeated(self) -> dict[str, int]:
        """Prefixes of parameters that come again and again, with the same shapes -> how often."""
        return {self.layer_prefix: self.num_layers}

    def layers_flops(self, length: int, backward: bool = False, num_prompt_tokens: int = 0) -> int:
        """Counts the FLOPs of the products in all layers, for one sequence of so many positions.

        Every weight is multiplied with every position, and every position with every other, twice
        (scores and sums of values), unless the net does without some. The backward pass through
        frozen layers computes gradients of activations only: the same again for the weights, and
        twice as much for attention, because both of its factors are activations.
        """
        weights = 2 * self.weight_products(length, num_prompt_tokens)
        attention = 4 * self.attended(length, num_prompt_tokens) * self.attention_width
        return self.num_layers * (
            weights * (2 if backward else 1) + attention * (3 if backward else 1)
        )

    def head_flops(self, rows: int, backward: bool = False) -> int:
        """Counts the FLOPs of the codebook logits at so many positions."""
        return 2 * rows * self.head_parameters * (2 if backward else 1)


class MaskedTransformer(TokenTransformer):
    """Attends to all positions and predicts the tokens that are `MASK_TOKEN_ID` (NAR).

    Decoders work on ids (B, L) whose last N are the visual tokens. L is N unless positions before
    them take part in decoding.
    """

    family = "nar"

    def ids(self, tokens: jax.Array, class_ids: jax.Array | None = None) -> jax.Array:
        """Returns tokens (B, N) and classes (B,) as ids (B, L)."""
        del class_ids
        return tokens

    def unknown_ids(self, count: int, num_tokens: int, class_ids: jax.Array | None) -> jax.Array:
        """Returns ids (count, L) of images without any known token."""
        nothing = jnp.full((count, num_tokens), MASK_TOKEN_ID, jnp.int32)
        return self.ids(nothing, class_ids)

    def unconditional_ids(self, ids: jax.Array) -> jax.Array:
        """Returns ids (B, L) without the condition."""
        return ids

    def visual_logits(
        self,
        ids: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
    ) -> jax.Array:
        """Returns logits (B, L, K) without dropout; call it by `apply`."""
        return self(ids, prompts, class_ids)

    def num_inputs(self, num_tokens: int, num_prompt_tokens: int) -> int:
        return num_prompt_tokens + num_tokens

    def num_logit_rows(self, num_tokens: int) -> int:
        # The sampler treats the position before the tokens as one more unknown position.
        return num_tokens + 1


class CausalTransformer(TokenTransformer):
    """Predicts each token from a prefix and the tokens before it (AR).

    Its decoder calls the methods `prefix`, `unconditional_prefix`, `first_input`, `of_places`,
    `embed`, `conditioned`, `joined`, `run`, `hidden_states`, `empty_cache` and `check_length`,
    which `nets/causal.py` and `nets/gpt.py` describe.
    """

    family = "ar"

    def check_length(self, first_position: int, num_tokens: int) -> None:
        """Raises ValueError if so many visual tokens do not fit into the position table."""
        raise NotImplementedError

    def joined(self, prefix: Any, x: Any) -> Any:
        """Returns the inputs of a whole sequence: those of its prefix, and of its tokens."""
        raise NotImplementedError

    def conditioned(self, x: Any, of_place: Any) -> Any:
        """Returns an embedded token with what its place adds to its condition, if anything."""
        raise NotImplementedError

    def num_inputs(self, num_tokens: int, num_prompt_tokens: int) -> int:
        # The last token is never an input.
        return num_prompt_tokens + num_tokens - 1

    def num_logit_rows(self, num_tokens: int) -> int:
        return num_tokens


def rows_modulo(table: jax.Array, first: int, period: int, count: int) -> jax.Array:
    """The rows first + (c mod period) of a table (V, D), for c in [0, count), float32."""
    rows = first + jnp.arange(count) % max(period, 1)
    return table[rows].astype(jnp.float32)
