"""What every decoder provides, and its input.

A decoder is a frozen dataclass in the file of its algorithm. Its fields are its options in a run's
`config.decode`, with their defaults. `decode/decoders.py` lists them.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from vpt_gen.errors import Requirement
from vpt_gen.nets.transformer import MASK_TOKEN_ID, TokenTransformer

# By the names of a net's arguments: prompts, vectors, class_ids.
Conditions = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Given:
    """A batch to decode; images may share their conditions.

    Attributes:
      net: the transformer.
      params: its parameters.
      keys: (B,), one per image.
      num_tokens: N.
      prompts: (T, P, S, D), the prompts of T stages, or of all decoding if T is 1; or None.
      class_ids: (P,), the pretrained conditions, or None.
      rows: (B,) in [0, P), the condition of every image; None: P is B, and image i has the i-th.
      vectors: (T, P, D), for nets that a vector modulates, in as many stages as prompts; or None.
      known: (B, N), row-major, tokens that stay, and `MASK_TOKEN_ID` where one is drawn; None: all
        are drawn.
      num_unknown: the most tokens that one of the images lacks; None is N.
      prefill: F < N, tokens at the beginning of the net's sequence that no image lacks, for causal
        transformers.
      without: the net's parameters if it has no condition, for guidance; None: `params`.
    """

    net: TokenTransformer
    params: Any
    keys: jax.Array
    num_tokens: int
    prompts: jax.Array | None
    class_ids: jax.Array | None
    rows: jax.Array | None
    vectors: jax.Array | None = None
    known: jax.Array | None = None
    num_unknown: int | None = None
    prefill: int = 0
    without: Any = None

    @property
    def num_conditions(self) -> int:
        """P."""
        if self.rows is None:
            return len(self.keys)
        # `rows` index prompts, vectors or class ids.
        return len(jax.tree.leaves(self.first())[0])

    def of_images(self, of_conditions: Any) -> Any:
        """Selects the entry of each image's condition in a tree: (P, ...) -> (B, ...)."""
        if self.rows is None:
            return of_conditions
        return jax.tree.map(lambda x: x[self.rows], of_conditions)

    def tokens(self) -> jax.Array:
        """Returns the tokens (B, N) before the first iteration."""
        if self.known is not None:
            return self.known
        return jnp.full((len(self.keys), self.num_tokens), MASK_TOKEN_ID, jnp.int32)

    def stages(self) -> tuple[Conditions, Conditions]:
        """Returns the conditions that stay, (P, ...), and those of T stages, (T, P, ...)."""
        staged = _given(prompts=self.prompts, vectors=self.vectors)
        constant = _given(class_ids=self.class_ids)
        if any(len(x) > 1 for x in staged.values()):
            return constant, staged
        return constant | {name: x[0] for name, x in staged.items()}, {}

    def first(self) -> Conditions:
        """Returns the conditions of the first stage, (P, ...)."""
        constant, changing = self.stages()
        return constant | {name: x[0] for name, x in changing.items()}


def _given(**conditions: jax.Array | None) -> Conditions:
    return {name: x for name, x in conditions.items() if x is not None}


@dataclasses.dataclass(frozen=True)
class Decoder:
    """One way to draw visual tokens; subclasses are frozen dataclasses.

    Attributes:
      name: in `config.decode.decoder`.
      family: of the transformers that it works with.
      needs: methods that it calls on the net and that not every transformer of the family has.
      needs_grid: whether it goes over the image, so that tokens without places do not fit.
      iteration: what one iteration does, for a run's page; "" if tokens are decoded one by one.
      logits_once: whether it computes logits only where it writes tokens, guided or not.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    needs_grid: ClassVar[bool] = False
    iteration: ClassVar[str] = ""
    logits_once: ClassVar[bool] = False

    @classmethod
    def works_with(cls, net: TokenTransformer) -> bool:
        """Tells whether it can decode with a transformer."""
        if cls.needs_grid and net.one_dimensional:
            return False
        return net.family == cls.family and all(hasattr(net, name) for name in cls.needs)

    def requirements(self) -> Iterable[Requirement]:
        """Yields the requirements of the options."""
        return ()

    def num_stages(self, net: TokenTransformer, num_tokens: int) -> int:
        """Returns T, the number of stages of a marquee."""
        raise NotImplementedError

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        """Draws all visual tokens.

        Returns:
          Tokens (B, N), row-major, and for each the iteration or step that fixed it (B, N).
        """
        raise NotImplementedError
