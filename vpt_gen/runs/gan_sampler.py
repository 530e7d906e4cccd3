"""Draws many images from an adapted BigGAN, in batches of one size.

Image j of class c has its own latent, derived from seed, c and j: it does not depend on the other
images. Standing statistics use separate latents, derived from the seed.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from vpt_gen.machine import sharding
from vpt_gen.nets.biggan import Generator, standing_statistics
from vpt_gen.runs.samples import Samples, image_keys, wanted_or_all
from vpt_gen.training.adversarial_task import GENERATOR

# Folded into the seed in place of an image's class.
_STANDING = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class GanSampler:
    """The sampler of a GAN method, and its options.

    Attributes:
      net: the generator.
      inputs: (params, z, class_ids) -> the generator's inputs for images (B, R, R, 3).
      group_of: path of a parameter -> its group, or None if it never trains.
      num_classes: number of classes.
      options: `z_scale`, the latents' standard deviation (below 1 images vary less); and
        `standing_accumulations`, the number of batches of latents for the statistics of
        normalization, 0 for the running statistics.
      batch_size: images at a time, rounded up so that the devices share them evenly; latents in a
        batch of standing statistics, not rounded.
      mesh: devices.
    """

    net: Generator
    inputs: Callable[[Any, jax.Array, jax.Array], dict[str, jax.Array]]
    group_of: Callable[[tuple[str, ...]], str | None]
    num_classes: int
    options: dict[str, Any]
    batch_size: int
    mesh: Mesh

    has_tokens = False
    token_grid = (0, 0)
    has_prompts = False

    @property
    def images_at_a_time(self) -> int:
        """Images per batch of `stream`, except the last."""
        return sharding.full_batch(self.batch_size, self.mesh)

    def stream(
        self,
        params: Any,
        bank: np.ndarray,
        seed: int,
        weights: np.ndarray | None = None,
        wanted: np.ndarray | None = None,
        known: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> Iterator[Samples]:
        """Generates n images, batch by batch and in the order of the bank; they have no tokens.

        Args:
          params: of the run; they do not change.
          bank: (n, 1, 2), see `sampler.class_bank`.
          seed: of all latents.
          weights: None; marquees need prompts.
          wanted: (n,) bool, the images to generate, in their batches; None for all.
          known: None; a GAN draws whole images.
          numbers: (n,), which of the images of its condition each is; None counts them.

        Raises:
          ValueError: a marquee, or known tokens.
        """
        if known is not None:
            raise ValueError("A GAN draws whole images and keeps no tokens.")
        if bank.shape[1] > 1 or weights is not None:
            raise ValueError("A marquee needs prompts.")
        wanted = wanted_or_all(wanted, bank)
        if not wanted.any():
            return
        keys = np.asarray(jax.random.key_data(image_keys(bank[:, -1], seed, numbers)))
        params = self._with_statistics(sharding.put(params, self.mesh), seed)
        size = self.images_at_a_time
        for start in range(0, len(bank), size):
            new = np.flatnonzero(wanted[start : start + size])
            if not len(new):
                continue
            rows = np.arange(start, start + size) % len(bank)  # The last batch is padded.
            batch = sharding.share({"keys": keys[rows], "classes": bank[rows, -1, 0]}, self.mesh)
            with sharding.use(self.mesh):
                images = jax.device_get(self._images(params, batch["keys"], batch["classes"]))
            none = np.zeros((len(images[new]), 0), np.int32)
            yield Samples(images[new], none, none, bank[rows[new], -1, 0])

    def with_options(self, **options: Any) -> Self:
        """Returns the sampler with other options."""
        return dataclasses.replace(self, options={**self.options, **options})

    def counts(self, params: Any) -> tuple[int, int]:
        """Returns the numbers of trained (with the discriminator's) and frozen parameters."""
        trained = frozen = 0
        for path, leaf in traverse_util.flatten_dict(params).items():
            if "params" not in path[:2]:
                continue
            if self.group_of(path) is None:
                frozen += leaf.size
            else:
                trained += leaf.size
        return trained, frozen

    def _with_statistics(self, params: Any, seed: int) -> Any:
        """Returns parameters with the statistics for normalization.

        As in BigGAN's code, they are of uniform classes and of unscaled latents.
        """
        count = self.options["standing_accumulations"]
        if not count:
            return params
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), _STANDING), count)
        numbers = np.asarray(jax.random.key_data(keys))
        with sharding.use(self.mesh):
            batches = (self._batch(params, key) for key in numbers)
            standing = standing_statistics(self.net, params[GENERATOR], batches)
        return sharding.put({**params, GENERATOR: standing}, self.mesh)

    @functools.cached_property
    def _batch(self):
        """Key data -> the generator's inputs for a batch of arbitrary images."""

        def batch(params, key):
            z_key, class_key = jax.random.split(jax.random.wrap_key_data(key))
            z = jax.random.normal(z_key, (self.batch_size, self.net.latent_size))
            class_ids = jax.random.randint(class_key, (self.batch_size,), 0, self.num_classes)
            return self.inputs(params, z, class_ids)

        return jax.jit(batch, out_shardings=sharding.replicated(self.mesh))

    @functools.cached_property
    def _images(self):
        """Draws images of keys and classes; compiled once for all calls."""

        def images(params, keys, class_ids):
            def latent(key):
                return jax.random.normal(jax.random.wrap_key_data(key), (self.net.latent_size,))

            z = self.options["z_scale"] * jax.vmap(latent)(keys)
            inputs: dict[str, Any] = self.inputs(params, z, jnp.asarray(class_ids))
            return self.net.apply(params[GENERATOR], **inputs)

        return jax.jit(images, out_shardings=sharding.replicated(self.mesh))
