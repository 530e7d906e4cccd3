"""BigGAN (arXiv 1809.11096), class-conditional, as in ajbrock/BigGAN-PyTorch.

Three collections: `params`; `batch_stats`, the running statistics of batch normalization; and
`spectral`, the state of spectral norms. Called with `train=True` and the last two mutable, a net
normalizes by its batch and updates both.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.biggan_blocks import (
    DiscriminatorBlock,
    GeneratorBlock,
    SelfAttention,
)
from vpt_gen.nets.conditional_norm import AffineBatchNorm, ConditionalBatchNorm
from vpt_gen.nets.layout import named
from vpt_gen.nets.spectral_norm import (
    SNConv,
    SNDense,
    SNEmbed,
    orthogonal,
)
from vpt_gen.ranges import Epsilon, Size

FIRST_SIDE = 4
COLORS = 3
# Resolution -> widths of the generator's blocks, after the input width of the first block, in
# multiples of `channels`. Each block doubles the sides, starting at 4.
GENERATOR_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
# Resolution -> widths of the discriminator's blocks.
DISCRIMINATOR_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
RESOLUTIONS = tuple(GENERATOR_WIDTHS)


def discriminator_sides(resolution: int) -> tuple[tuple[int, bool], ...]:
    """Per block: the resolution by which attention is chosen, and whether it halves the sides.

    At 32 pixels the release names 16 for all four blocks, although the last three work at 8.
    """
    if resolution == 32:
        return (16, True), (16, True), (16, False), (16, False)
    halved = len(DISCRIMINATOR_WIDTHS[resolution]) - 1
    sides = [(resolution >> (block + 1), True) for block in range(halved)]
    return (*sides, (sides[-1][0], False))


class Generator(nn.Module):
    """Latents and conditions -> images (B, R, R, 3) in [0, 1].

    Attributes:
      num_classes: C.
      resolution: R, of `RESOLUTIONS`.
      channels: all widths are multiples of it.
      z_size: length of a latent; a hierarchical one is cut to a multiple of the number of parts,
        see `latent_size`.
      shared_size: E, width of the class embedding that all normalizations share.
      attention: sides of the feature maps after which there is self-attention.
      hierarchical: the latent's first part is the input; each block gets a further part.
      shared: False for normalizations with tables of their own; needs `hierarchical` False.
      bn_epsilon: of the blocks' batch normalization; the last one always has 1e-5.
      sn_epsilon: of spectral norms.
    """

    num_classes: int
    resolution: int = 128
    channels: int = 96
    z_size: int = 120
    shared_size: int = 128
    attention: tuple[int, ...] = (64,)
    hierarchical: bool = True
    shared: bool = True
    bn_epsilon: float = 1e-5
    sn_epsilon: float = 1e-6

    @property
    def num_blocks(self) -> int:
        return len(GENERATOR_WIDTHS[self.resolution]) - 1

    @property
    def part_size(self) -> int:
        """Length of a part of a hierarchical latent."""
        return self.z_size // (self.num_blocks + 1)

    @property
    def latent_size(self) -> int:
        """Length of the latents that the net takes."""
        return self.part_size * (self.num_blocks + 1) if self.hierarchical else self.z_size

    @nn.compact
    def __call__(
        self,
        z: jax.Array,
        class_ids: jax.Array | None = None,
        embedding: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Generates.

        Args:
          z: (B, latent_size).
          class_ids: (B,), or None if `embedding` is given.
          embedding: (B, E) in place of a class's own; needs `shared`.
          train: normalize by the batch.
        """
        if self.hierarchical and not self.shared:
            raise ValueError("Hierarchical latents need a shared embedding of the class.")
        if embedding is None:
            assert class_ids is not None
            embedding = self.embed(class_ids)
        first, *widths = (self.channels * width for width in GENERATOR_WIDTHS[self.resolution])
        conditions = [embedding] * self.num_blocks
        if self.hierarchical:
            z, *parts = jnp.split(z, self.num_blocks + 1, axis=1)
            conditions = [jnp.concatenate([embedding, part], axis=1) for part in parts]
        x = SNDense(first * FIRST_SIDE**2, epsilon=self.sn_epsilon, name="linear")(z, train)
        # As released: in channels-first order.
        x = x.reshape(-1, first, FIRST_SIDE, FIRST_SIDE).transpose(0, 2, 3, 1)
        for i, (width, condition) in enumerate(zip(widths, conditions, strict=True)):
            block = GeneratorBlock(width, self.norm(), epsilon=self.sn_epsilon, name=f"block_{i}")
            x = block(x, condition, train)
            if x.shape[1] in self.attention:
                x = SelfAttention(self.sn_epsilon, name=f"attention_{i}")(x, train)
        x = jax.nn.relu(AffineBatchNorm(name="output_norm")(x, train))
        x = SNConv(COLORS, epsilon=self.sn_epsilon, name="output_conv")(x, train)
        return (jnp.tanh(x) + 1.0) / 2.0

    def embed(self, class_ids: jax.Array) -> jax.Array:
        """Returns the class input of the normalizations: a row of a table without spectral norm."""
        if not self.shared:
            return class_ids
        table = nn.Embed(
            self.num_classes, self.shared_size, embedding_init=orthogonal, name="shared"
        )
        return table(class_ids)

    def norm(self) -> Callable[..., nn.Module]:
        """Makes a block's normalizations under a condition."""
        num_classes = 0 if self.shared else self.num_classes
        return functools.partial(
            ConditionalBatchNorm, self.bn_epsilon, self.sn_epsilon, num_classes
        )


class Discriminator(nn.Module):
    """Images (B, R, R, 3) in [0, 1] -> logits (B, 1); high means real.

    Attributes:
      num_classes: C; 0 for a discriminator without classes.
      resolution: R, of `RESOLUTIONS`.
      channels: all widths are multiples of it.
      attention: resolutions with self-attention, see `discriminator_sides`.
      sn_epsilon: of spectral norms.
    """

    num_classes: int
    resolution: int = 128
    channels: int = 96
    attention: tuple[int, ...] = (64,)
    sn_epsilon: float = 1e-6

    @nn.compact
    def __call__(
        self, images: jax.Array, class_ids: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Computes logits; class_ids (B,) are needed if there are classes."""
        x = 2.0 * images - 1.0
        blocks = zip(
            DISCRIMINATOR_WIDTHS[self.resolution],
            discriminator_sides(self.resolution),
            strict=True,
        )
        for i, (width, (side, downsample)) in enumerate(blocks):
            x = DiscriminatorBlock(
                self.channels * width, downsample, i == 0, self.sn_epsilon, name=f"block_{i}"
            )(x, train)
            if side in self.attention:
                x = SelfAttention(self.sn_epsilon, name=f"attention_{i}")(x, train)
        features = named(jax.nn.relu(x).sum((1, 2)), "batch")
        logits = SNDense(1, epsilon=self.sn_epsilon, name="linear")(features, train)
        if not self.num_classes:
            return logits
        assert class_ids is not None
        table = SNEmbed(self.num_classes, features.shape[-1], self.sn_epsilon, name="embed")
        return logits + (table(class_ids, train) * features).sum(1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class BigGAN:
    """A generator and the discriminator that it was trained against; fields as theirs.

    Its parameters, as a pretrained net has them, are {"generator": ..., "discriminator": ...}, each
    with all of its collections.
    """

    # Fields that follow from the data; a pretraining config has the others.
    from_data = ("num_classes", "resolution")

    num_classes: int
    resolution: int = 128
    generator_channels: Size = 96
    discriminator_channels: Size = 96
    z_size: Size = 120
    shared_size: Size = 128
    generator_attention: tuple[Size, ...] = (64,)
    discriminator_attention: tuple[Size, ...] = (64,)
    hierarchical: bool = True
    shared: bool = True
    bn_epsilon: Epsilon = 1e-5
    sn_epsilon: Epsilon = 1e-6

    @property
    def generator(self) -> Generator:
        return Generator(
            self.num_classes,
            self.resolution,
            self.generator_channels,
            self.z_size,
            self.shared_size,
            self.generator_attention,
            self.hierarchical,
            self.shared,
            self.bn_epsilon,
            self.sn_epsilon,
        )

    @property
    def discriminator(self) -> Discriminator:
        return self.discriminator_of(self.num_classes)

    def discriminator_of(self, num_classes: int) -> Discriminator:
        """Returns the discriminator for other classes; 0 for one without classes."""
        return Discriminator(
            num_classes,
            self.resolution,
            self.discriminator_channels,
            self.discriminator_attention,
            self.sn_epsilon,
        )

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Initializes the variables of both."""
        keys = jax.random.split(key)
        z, class_ids = jnp.zeros((1, self.generator.latent_size)), jnp.zeros(1, jnp.int32)
        images = jnp.zeros((1, self.resolution, self.resolution, 3))
        return {
            "generator": dict(self.generator.init(keys[0], z, class_ids)),
            "discriminator": dict(self.discriminator.init(keys[1], images, class_ids)),
        }


def run(
    net: nn.Module, variables: Mapping[str, Any], *inputs: Any, **kwargs: Any
) -> tuple[Any, dict[str, Any]]:
    """Calls a net with `train=True`: returns its output and the updated variables."""
    moving = [name for name in variables if name != "params"]
    output, moved = net.apply(variables, *inputs, train=True, mutable=moving, **kwargs)
    return output, {**variables, **moved}


def standing_statistics(
    net: Generator, variables: Mapping[str, Any], batches: Iterable[Mapping[str, jax.Array]]
) -> dict[str, Any]:
    """Replaces `batch_stats` by means over batches, instead of running ones.

    They are means of the batches' means and biased variances. The spectral norms' state is updated
    with each batch, as released. The given variables do not change.

    Args:
      net: the generator.
      variables: its variables.
      batches: the net's arguments, such as `z` and `class_ids`; all of one shape.
    """
    totals, count = None, 0
    for batch in batches:
        moments, variables = _moments(net, variables, batch)
        totals = moments if totals is None else jax.tree.map(jnp.add, totals, moments)
        count += 1
    means = jax.tree.map(lambda total: total / count, totals)
    return {**variables, "batch_stats": means}


@functools.partial(jax.jit, static_argnums=0)
def _moments(net: Generator, variables: Mapping[str, Any], batch: Mapping[str, jax.Array]):
    """Returns means and biased variances of a batch, and the updated variables."""
    _, moved = run(net, {**variables, "moments": {}}, **batch)
    # `sow` stores each as a tuple with one entry.
    moments = jax.tree.map(
        lambda one: one[0], moved.pop("moments"), is_leaf=lambda x: isinstance(x, tuple)
    )
    return moments, moved
