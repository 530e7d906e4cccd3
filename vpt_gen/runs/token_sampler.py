"""Draws many images from an adapted transformer, in batches of one size (`samples.py`)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vpt_gen.decode import marquee
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.machine import sharding
from vpt_gen.methods.method import STAGED, Method
from vpt_gen.nets.transformer import MASK_TOKEN_ID, TokenTransformer
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.runs.samples import Samples, image_keys, wanted_or_all

# Ways to decode that stay compiled; an edit needs at most eight.
_VARIANTS = 8


@dataclasses.dataclass(frozen=True)
class TokenSampler:
    """The sampler of a transformer's method: nets, frozen parameters and decoding options.

    Attributes:
      method: of the trained parameters.
      transformer: its transformer.
      tokenizer: its tokenizer.
      frozen: {"transformer": ..., "tokenizer": ...} parameters, see `Method.frozen`.
      num_tokens: N, visual tokens of an image.
      options: of `decode.generate.generate`.
      batch_size: images at a time in the transformer, rounded up so that the devices share them
        evenly.
      tokenizer_batch_size: images at a time in the tokenizer, also rounded up.
      mesh: devices.
    """

    method: Method
    transformer: TokenTransformer
    tokenizer: Tokenizer
    frozen: Any
    num_tokens: int
    options: dict[str, Any]
    batch_size: int
    tokenizer_batch_size: int
    mesh: Mesh

    has_tokens = True

    @property
    def token_grid(self) -> tuple[int, int]:
        """Height and width at which an image's tokens are shown."""
        return self.transformer.shown_grid(self.num_tokens)

    @property
    def has_prompts(self) -> bool:
        """Whether prompts are the condition, so that marquees apply."""
        return self.method.generator is not None

    @property
    def images_at_a_time(self) -> int:
        """Images per batch of `stream`, except the last."""
        return sharding.full_batch(self.batch_size, self.mesh)

    def with_options(self, **options: Any) -> Self:
        """Returns the sampler with other options of decoding; the same one for the same options."""
        return self._variant(tuple(sorted(options.items())))

    @functools.cached_property
    def _variant(self) -> Callable[[tuple[tuple[str, Any], ...]], Self]:
        """Makes a sampler with other options; the last ones stay, with their compiled programs."""
        return functools.lru_cache(_VARIANTS)(
            lambda options: dataclasses.replace(self, options={**self.options, **dict(options)})
        )

    def counts(self, params: Any) -> tuple[int, int]:
        """Returns the numbers of trained and of frozen parameters."""
        trained, frozen = (
            sum(x.size for x in jax.tree.leaves(tree)) for tree in (params, self.frozen)
        )
        return trained, frozen

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
        """Generates n images, batch by batch and in the order of the bank.

        Args:
          params: trained parameters of the method.
          bank: (n, M, 2), see `class_bank`; a condition that occurs k times gives its images
            0..k-1.
          seed: of all keys.
          weights: marquee matrix (T, M), T from `decode.generate.num_stages`; None stays on the
            last entry of the bank.
          wanted: (n,) bool, the images to generate; None for all. They stay in their batches, so
            that they are the same to the last digit.
          known: (n, N), row-major, tokens of each image that never change, and `MASK_TOKEN_ID`
            where one is drawn; None draws all.
          numbers: (n,), which of the images of its condition each is; None counts them.

        Raises:
          ValueError: a marquee, M > 1, of a method without prompts.
        """
        frozen = sharding.put(self.frozen["tokenizer"], self.mesh)
        for new, rows, tokens, revealed_at in self._drawn(
            params, bank, seed, weights, wanted, known, numbers
        ):
            with sharding.use(self.mesh):
                images = self._images(frozen, tokens)
            yield Samples(*(x[new] for x in (images, tokens, revealed_at, bank[rows, -1, 0])))

    def stream_tokens(
        self, params: Any, bank: np.ndarray, seed: int, wanted: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Draws the tokens (N,) of one wanted image after the other, no images; see `stream`."""
        for new, _, tokens, _ in self._drawn(params, bank, seed, wanted=wanted):
            yield from tokens[new]

    def _drawn(
        self,
        params: Any,
        bank: np.ndarray,
        seed: int,
        weights: np.ndarray | None = None,
        wanted: np.ndarray | None = None,
        known: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Draws the tokens of n images, batch by batch; for the arguments see `stream`.

        Yields:
          Places in a batch of its wanted images, the rows (B,) of the bank, tokens (B, N) and when
          each was fixed (B, N).
        """
        if bank.shape[1] > 1 and self.method.generator is None:
            raise ValueError("A marquee needs prompts.")
        wanted = wanted_or_all(wanted, bank)
        if not wanted.any():
            return
        if weights is None:
            weights = marquee.constant(1, bank.shape[1], bank.shape[1] - 1)
        weights = marquee.check_weights(weights, len(weights), bank.shape[1], signed=True)
        # Keys as raw data: typed keys cannot be split by rows.
        keys = np.asarray(jax.random.key_data(image_keys(bank[:, -1], seed, numbers)))
        params, frozen = sharding.put((params, self.frozen["transformer"]), self.mesh)
        size = min(self.images_at_a_time, sharding.full_batch(len(bank), self.mesh))
        # The last batch is padded.
        batches = [np.arange(i, i + size) % len(bank) for i in range(0, len(bank), size)]
        shared = [np.unique(bank[rows], axis=0, return_inverse=True) for rows in batches]
        left = (None, 0) if known is None else self._work_left(known)
        # The same number of conditions for all batches, to compile once.
        count = sharding.full_batch(max(len(conditions) for conditions, _ in shared), self.mesh)
        for rows, (conditions, of_image) in zip(batches, shared, strict=True):
            new = np.flatnonzero(wanted[rows[0] : rows[0] + size])
            if not len(new):
                continue
            conditions = np.resize(conditions, (count, *conditions.shape[1:]))
            batch = [self._share(x) for x in (conditions, keys[rows], of_image)]
            given = None if known is None else self._share(known[rows])
            with sharding.use(self.mesh):
                made = self._tokens(params, frozen, weights, *batch, given, *left)
                tokens, revealed_at = jax.device_get(made)
            yield new, rows, tokens, revealed_at

    def _work_left(self, known: np.ndarray) -> tuple[int | None, int]:
        """Returns `num_unknown` and `prefill` of known tokens (n, N), see `decode.generate`.

        Whole eighths of an image, so that few programs are compiled.
        """
        unknown = known == MASK_TOKEN_ID
        if self.transformer.family == "nar":
            return room_for(unknown), 0
        eighth = -(-self.num_tokens // 8)
        in_order = np.asarray(self.transformer.to_sequence(jnp.asarray(unknown)))
        given = int(np.argmax(np.append(in_order.any(axis=0), True)))
        return None, min(given, self.num_tokens - 1) // eighth * eighth

    def _share(self, rows: np.ndarray) -> jax.Array:
        return sharding.share({"rows": rows}, self.mesh)["rows"]

    @functools.cached_property
    def _tokens(self):
        """`_draw`, compiled once for all calls."""
        whole = sharding.replicated(self.mesh)
        return jax.jit(self._draw, static_argnums=(7, 8), out_shardings=whole)

    def _draw(
        self,
        params,
        transformer_params,
        weights,
        conditions,
        keys,
        rows,
        known,
        num_unknown,
        prefill,
    ):
        """Conditions (P, M, 2), key data, row of every image in them -> tokens, revealed_at."""
        p, m, _ = conditions.shape
        class_ids, instance_ids = jnp.moveaxis(conditions.reshape(p * m, 2), 1, 0)
        told = dict(self.method.conditions(params, class_ids, instance_ids))
        for name in told.keys() & STAGED:
            bank = told[name].reshape(p, m, *told[name].shape[1:])
            told[name] = marquee.interpolate(weights, bank)
        return generate(
            self.transformer,
            self.method.params(transformer_params, params),
            jax.random.wrap_key_data(keys),
            self.num_tokens,
            rows=rows,
            known=known,
            num_unknown=num_unknown,
            prefill=prefill,
            source=transformer_params or None,
            **told,
            **self.options,
        )

    def tokens_of(self, images: np.ndarray) -> np.ndarray:
        """Images (n, R, R, 3) in [0, 1], R of the run -> visual tokens (n, N), row-major."""
        size = sharding.full_batch(self.tokenizer_batch_size, self.mesh)
        params = sharding.put(self.frozen["tokenizer"], self.mesh)
        parts = [
            self._tokenize(params, self._share(np.resize(x, (size, *x.shape[1:]))))
            for x in np.split(images, range(size, len(images), size))
        ]
        return np.concatenate(jax.device_get(parts))[: len(images)]

    @functools.cached_property
    def _tokenize(self):
        def tokenize(params, images):
            tokens: Any = self.tokenizer.apply({"params": params}, images, method="tokenize")
            return tokens.reshape(len(images), -1)

        return jax.jit(tokenize, out_shardings=sharding.replicated(self.mesh))

    @functools.cached_property
    def _detokenize(self):
        whole = sharding.replicated(self.mesh)
        return jax.jit(functools.partial(tokens_to_images, self.tokenizer), out_shardings=whole)

    def _images(self, tokenizer_params, tokens: np.ndarray) -> np.ndarray:
        """Tokens (B, N) -> images, in batches of the tokenizer's batch size."""
        size = sharding.full_batch(self.tokenizer_batch_size, self.mesh)
        parts = [
            self._detokenize(tokenizer_params, self._share(np.resize(x, (size, x.shape[1]))))
            for x in np.split(tokens, range(size, len(tokens), size))
        ]
        return np.concatenate(jax.device_get(parts))[: len(tokens)]


def eighths_unknown(unknown: np.ndarray) -> np.ndarray:
    """Returns how many eighths (n,) of their tokens images lack, rounded up, from (n, N) bool."""
    return -(-8 * unknown.sum(axis=1) // unknown.shape[1])


def room_for(unknown: np.ndarray) -> int:
    """Returns for how many unknown tokens to decode images that lack some of theirs, (n, N) bool.

    It is the same for all images of one number of eighths, alone or together.
    """
    return int(-(-eighths_unknown(unknown).max() * unknown.shape[1] // 8))
