"""Many images from a tuned prompt generator, in batches of one size.

Image j of class c has the key fold_in(fold_in(key(seed), c), j): it is the same image whatever
else is sampled beside it.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vpt_gen import sharding
from vpt_gen.decode import marquee
from vpt_gen.decode.generate import generate_tokens, tokens_to_images, unknown_ids
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.progress import track


@dataclasses.dataclass(frozen=True)
class Samples:
    """What was generated.

    Attributes:
      images: (n, H, W, 3) float32 in [0, 1].
      tokens: (n, N) int32.
      revealed_at: (n, N) int32, the iteration that fixed each token.
      class_ids: (n,).
    """

    images: np.ndarray
    tokens: np.ndarray
    revealed_at: np.ndarray
    class_ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Sampler:
    """The nets, the frozen parameters and the decoding options.

    Attributes:
      generator: prompt generator.
      transformer: its frozen transformer.
      tokenizer: its frozen tokenizer.
      frozen: {"transformer": ..., "tokenizer": ...} parameters.
      options: arguments of `decode.parallel.decode`.
      batch_size: images at a time, rounded up to a multiple of the devices.
      mesh: devices.
    """

    generator: PromptGenerator
    transformer: MaskGIT
    tokenizer: VQGAN
    frozen: Any
    options: dict[str, Any]
    batch_size: int
    mesh: Mesh

    def sample(
        self,
        params: Any,
        class_ids: Sequence[int],
        seed: int,
        weights: np.ndarray | None = None,
        headers: Sequence[int] = (),
    ) -> Samples:
        """Generates one image for each entry of `class_ids`.

        Args:
          params: of the prompt generator.
          class_ids: (n,); a class named k times gives its images 0..k-1.
          seed: of all keys.
          weights: marquee matrix (T, M); None stays on the image's own class.
          headers: M - 1 class ids whose prompts come before the image's own in the marquee bank.
        """
        if weights is None:
            weights = marquee.constant(self.options["num_iterations"])
        weights = marquee.check_weights(weights, self.options["num_iterations"], len(headers) + 1)
        class_ids = np.asarray(class_ids, np.int32)
        keys = _image_keys(class_ids, seed)
        split = sharding.split_batch(self.mesh)
        frozen = jax.device_put(self.frozen, sharding.replicated(self.mesh))
        size = -(-self.batch_size // self.mesh.size) * self.mesh.size
        parts = []
        bar = track(total=len(class_ids), label="sampling")
        for start in range(0, len(class_ids), size):
            rows = np.arange(start, start + size) % len(class_ids)  # The last batch is filled up.
            bank = np.concatenate(
                [np.tile(np.array(headers, np.int32), (size, 1)), class_ids[rows, None]], axis=1
            )
            batch = jax.device_put((keys[rows], bank), split)
            count = min(size, len(class_ids) - start)
            parts.append(
                [x[:count] for x in jax.device_get(self._step(params, frozen, weights, *batch))]
            )
            bar.update(count)
        bar.close()
        images, tokens, revealed_at = (np.concatenate(x) for x in zip(*parts, strict=True))
        return Samples(images, tokens, revealed_at, class_ids)

    @functools.cached_property
    def _step(self):
        """`_generate`, compiled once for all calls."""
        return jax.jit(self._generate)

    def _generate(self, params, frozen, weights, keys, bank):
        """Bank (B, M) of class ids -> images, tokens, revealed_at."""
        b, m = bank.shape
        prompts = self.generator.apply({"params": params}, bank.reshape(-1))
        prompts = prompts.reshape(b, m, *prompts.shape[1:])
        tokens, revealed_at = generate_tokens(
            self.transformer,
            frozen["transformer"],
            keys,
            unknown_ids(self.transformer, None, b),
            marquee.interpolate(weights, prompts),
            **self.options,
        )
        images = tokens_to_images(self.tokenizer, frozen["tokenizer"], tokens)
        return images, tokens, revealed_at


def _image_keys(class_ids: np.ndarray, seed: int) -> jax.Array:
    """Keys (n,): the k-th occurrence of a class gets that class's key k."""
    seen: dict[int, int] = {}
    numbers = []
    for c in class_ids.tolist():
        numbers.append(seen.get(c, 0))
        seen[c] = numbers[-1] + 1
    fold = jax.vmap(lambda c, j: jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), c), j))
    return fold(jnp.asarray(class_ids), jnp.asarray(numbers, jnp.int32))
