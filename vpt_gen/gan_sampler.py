"""Many images from an adapted BigGAN, in batches of one size.

Image j of class c has a latent of its own, made of seed, c and j: it is the same image whatever
else is sampled beside it.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from vpt_gen import sharding
from vpt_gen.sampler import Samples, gather, image_keys


@dataclasses.dataclass(frozen=True)
class GanSampler:
    """How a method draws, and its options.

    Attributes:
      draw: (params, z, class_ids) -> images (B, R, R, 3) in [0, 1].
      group_of: path of a parameter -> its group, or None where it never trains.
      latent_size: of z.
      num_classes: that can be asked for.
      options: `z_scale`, the latents' standard deviation: below 1 images vary less.
      batch_size: images at a time, rounded up so that the devices share them evenly.
      mesh: devices.
    """

    draw: Callable[[Any, jax.Array, jax.Array], jax.Array]
    group_of: Callable[[tuple[str, ...]], str | None]
    latent_size: int
    num_classes: int
    options: dict[str, Any]
    batch_size: int
    mesh: Mesh

    def sample(
        self, params: Any, bank: np.ndarray, seed: int, weights: np.ndarray | None = None
    ) -> Samples:
        """Generates n images; for the arguments see `stream`."""
        return gather(self.stream(params, bank, seed, weights), len(bank))

    def stream(
        self, params: Any, bank: np.ndarray, seed: int, weights: np.ndarray | None = None
    ) -> Iterator[Samples]:
        """Generates n images, batch by batch and in the order of the bank; they have no tokens.

        Args:
          params: of the run.
          bank: (n, 1, 2), see `sampler.class_bank`.
          seed: of all latents.
          weights: None; a marquee is of prompts.

        Raises:
          ValueError: a marquee.
        """
        if bank.shape[1] > 1 or weights is not None:
            raise ValueError("A marquee needs prompts.")
        keys = np.asarray(jax.random.key_data(image_keys(bank[:, -1], seed)))
        params = sharding.put(params, self.mesh)
        size = sharding.full_batch(self.batch_size, self.mesh)
        for start in range(0, len(bank), size):
            rows = np.arange(start, start + size) % len(bank)  # The last batch is filled up.
            batch = sharding.share({"keys": keys[rows], "classes": bank[rows, -1, 0]}, self.mesh)
            with sharding.use(self.mesh):
                images = jax.device_get(self._images(params, batch["keys"], batch["classes"]))
            left = min(size, len(bank) - start)
            none = np.zeros((left, 0), np.int32)
            yield Samples(images[:left], none, none, bank[rows[:left], -1, 0])

    def counts(self, params: Any) -> tuple[int, int]:
        """Numbers of parameters: that train, the discriminator's among them, and that never do."""
        trained = frozen = 0
        for path, leaf in traverse_util.flatten_dict(params).items():
            if "params" not in path[:2]:
                continue
            if self.group_of(path) is None:
                frozen += leaf.size
            else:
                trained += leaf.size
        return trained, frozen

    @functools.cached_property
    def _images(self):
        """`draw`, compiled once for all calls."""

        def images(params, keys, class_ids):
            def latent(key):
                return jax.random.normal(jax.random.wrap_key_data(key), (self.latent_size,))

            z = self.options["z_scale"] * jax.vmap(latent)(keys)
            return self.draw(params, z, jnp.asarray(class_ids))

        return jax.jit(images, out_shardings=sharding.replicated(self.mesh))
