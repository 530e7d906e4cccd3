"""cGANTransfer's generator (arXiv 2102.06696): new classes as combinations of the source's.

Source: mshahbazi72/cGANTransfer `layers.py`, the version for ImageNet. Each normalization has
scores over the source's classes for each new one (`comb_layer`), the gains and biases of the
source's classes (`prev_knowledge`), a term from the latent (`z_layer`), and a residual per new
class (`res`).
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from vpt_gen.nets.biggan import Discriminator, Generator
from vpt_gen.nets.conditional_norm import BatchNorm
from vpt_gen.nets.spectral_norm import SNDense, orthogonal

# As released: epsilon of the layers that do not use the net's own.
_SMALL_EPSILON = 1e-12
_SIDES = {"g": "gain", "b": "bias"}


class CombinedBatchNorm(nn.Module):
    """Batch normalization whose gain and bias combine those of source classes.

    gain = 1 + prev_knowledge_g(comb_layer_g(c)) + z_layer_g(z) + res_g(c), and the bias likewise,
    for a class c as one-hot and a part z of the latent. There is no softmax over the scores.

    Attributes:
      num_classes: new classes.
      num_source_classes: of the source.
      bn_epsilon: of the batch normalization.
      sn_epsilon: of the source's spectral norms.
    """

    num_classes: int
    num_source_classes: int
    bn_epsilon: float = 1e-5
    sn_epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, train: bool = False) -> jax.Array:
        """Normalizes (B, H, W, C) under (B, num_classes + size of a latent's part)."""
        classes, z = jnp.split(condition, [self.num_classes], axis=1)
        features = x.shape[-1]

        def combined(side: str) -> jax.Array:
            scores = SNDense(
                self.num_source_classes, epsilon=_SMALL_EPSILON, name=f"comb_layer_{side}"
            )(classes, train)
            known = SNDense(
                features, use_bias=False, epsilon=self.sn_epsilon, name=f"prev_knowledge_{side}"
            )(scores, train)
            of_latent = SNDense(features, epsilon=_SMALL_EPSILON, name=f"z_layer_{side}")(z, train)
            residual = nn.Dense(
                features, use_bias=False, kernel_init=orthogonal, name=f"res_{side}"
            )(classes)
            return known + of_latent + residual

        gain, bias = 1.0 + combined("g"), combined("b")
        x = BatchNorm(self.bn_epsilon, name="norm")(x, train)
        return x * gain[:, None, None] + bias[:, None, None]


class TransferGenerator(Generator):
    """A generator of new classes, `num_classes`, by normalizations that combine the source's.

    Attributes:
      num_source_classes: of the source.
    """

    num_source_classes: int = 0

    def embed(self, class_ids: jax.Array) -> jax.Array:
        """One-hot classes (B, num_classes); the source's shared table became part of the norms."""
        return jax.nn.one_hot(class_ids, self.num_classes)

    def norm(self) -> Callable[..., nn.Module]:
        """Makes a block's normalizations."""
        return functools.partial(
            CombinedBatchNorm,
            self.num_classes,
            self.num_source_classes,
            self.bn_epsilon,
            self.sn_epsilon,
        )


def transfer_generator(source: Generator, num_classes: int) -> TransferGenerator:
    """Returns the generator of new classes for a source.

    Raises:
      ValueError: a source without a shared embedding or without hierarchical latents.
    """
    if not (source.shared and source.hierarchical):
        raise ValueError("cGANTransfer needs a source with hierarchical latents.")
    return TransferGenerator(
        num_classes,
        source.resolution,
        source.channels,
        source.z_size,
        num_classes,
        source.attention,
        bn_epsilon=source.bn_epsilon,
        sn_epsilon=source.sn_epsilon,
        num_source_classes=source.num_classes,
    )


def init_generator(
    net: TransferGenerator, source: Mapping[str, Any], key: jax.Array
) -> dict[str, Any]:
    """Initializes variables from the source's.

    As released: knowledge and the latent's layers take the source's weights without dividing by
    their singular values, and new states of spectral norms; scores and residuals start orthogonal,
    so that the initial net does not reproduce the source.

    Args:
      net: of `transfer_generator`.
      source: the source generator's variables.
      key: for the new parameters.
    """
    new = net.init(key, jnp.zeros((1, net.latent_size)), jnp.zeros(1, jnp.int32))
    flat, known = traverse_util.flatten_dict(new), traverse_util.flatten_dict(dict(source))
    table = source["params"]["shared"]["embedding"]
    for path in flat:
        *place, layer, leaf = path
        kind, _, side = layer.rpartition("_")
        if path in known:
            flat[path] = known[path]
        elif kind in ("prev_knowledge", "z_layer") and leaf == "kernel":
            of_embedding, of_latent = jnp.split(
                known[(*place, _SIDES[side], "kernel")], [table.shape[1]]
            )
            flat[path] = of_latent if kind == "z_layer" else table @ of_embedding
    return traverse_util.unflatten_dict(flat)


def init_discriminator(
    net: Discriminator, source: Mapping[str, Any], key: jax.Array
) -> dict[str, Any]:
    """Initializes from the source's discriminator, with a new table of classes or none.

    Args:
      net: the discriminator of the new classes.
      source: the source discriminator's variables.
      key: for the table.
    """
    images = jnp.zeros((1, net.resolution, net.resolution, 3))
    new = traverse_util.flatten_dict(net.init(key, images, jnp.zeros(1, jnp.int32)))
    known = traverse_util.flatten_dict(dict(source))
    return traverse_util.unflatten_dict(
        {path: x if "embed" in path else known[path] for path, x in new.items()}
    )
