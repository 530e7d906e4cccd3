"""MineGAN's miner (arXiv 1912.05270): new latents, and an embedding, for a source generator.

Source: yaxingwang/MineGAN `BigGAN.py`, class `Minor`. Two stacks of spectrally normed linear layers
without activations; the second takes the place of the source's class embedding, so that no class is
needed.
"""

import flax.linen as nn
import jax

from vpt_gen.nets.spectral_norm import SNDense, uniform_by_fan_in

_DEPTH = 4


class Miner(nn.Module):
    """Latents (B, latent_size) -> latents (B, latent_size) and embeddings (B, embedding_size).

    Attributes:
      latent_size: of the source generator.
      embedding_size: E, of its classes.
      sn_epsilon: of spectral norms.
    """

    latent_size: int
    embedding_size: int
    sn_epsilon: float = 1e-6

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        def stack(x: jax.Array, first: int, last_size: int) -> jax.Array:
            for i in range(_DEPTH):
                x = SNDense(
                    last_size if i == _DEPTH - 1 else self.latent_size,
                    epsilon=self.sn_epsilon,
                    # As launched by the release, which skips its own initialization: torch's.
                    kernel_init=uniform_by_fan_in(self.latent_size),
                    name=f"linear{first + i if first + i > 1 else ''}",
                )(x, train)
            return x

        return stack(z, 1, self.latent_size), stack(z, 1 + _DEPTH, self.embedding_size)
