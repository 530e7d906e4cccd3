"""Builds the visual-token cache: tokenizes a source once, in fixed views, shard by shard.

The content of a shard depends only on its examples, not on other shards: a killed build resumes at
the first missing shard, several hosts share the work, and the bytes are always the same.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np

from vpt_gen.data import pipeline
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source, digest_of
from vpt_gen.data.tokens import shards as token_shards
from vpt_gen.data.tokens.cache import TokenCache, finish, made_together
from vpt_gen.images import codec
from vpt_gen.machine import distributed
from vpt_gen.machine.progress import say, track

_FORMAT = 1
# How views are resampled, where older versions did it in another way, which blurred them.
_WHOLE_PIXELS = ", shifted by whole pixels"
_SHARP_KERNELS = ", resampled by cubic and Lanczos kernels"
_MAX_SHARDS = 1000


@dataclasses.dataclass(frozen=True)
class CacheBuild:
    """The inputs and the folder of a cache; one build at a time per folder, others wait.

    Attributes:
      source: examples.
      spec: preprocessing; its augmentation makes the views.
      tokenize: images (batch_size, R, R, 3) -> tokens (batch_size, h, w).
      tokenizer_digest: of the tokenizer, see `PretrainedNet.tokens_digest`.
      cache_views: views per example; without augmentation there is only one.
      batch_size: images tokenized at a time.
      seed: of the augmentation.
      root: folder of caches, shared by all hosts; a cache's own folder in it is named by a digest
        of the source, decoder, spec, tokenizer, views and seed.
      shard_images: images (of all views) per shard, the most that a killed build loses; more if
        the cache would have over a thousand shards.
    """

    source: Source
    spec: ImageSpec
    tokenize: Callable[[np.ndarray], jax.Array]
    tokenizer_digest: str
    cache_views: int
    batch_size: int
    seed: int
    root: str
    shard_images: int = 1024

    def cache(self) -> TokenCache:
        """Opens the cache; first makes it, or its missing shards, together with other hosts.

        Raises:
          UserError: an unreadable image, a damaged cache, or hosts without a shared folder.
        """
        return made_together(self.folder, self._make)

    def _make(self) -> None:
        """Makes the missing shards, together with other hosts."""
        self.make_shards(jax.process_index(), jax.process_count())
        distributed.wait_for_all("token shards")
        if distributed.is_first():
            self.finish()
        distributed.wait_for_all("token manifest")

    @property
    def views(self) -> int:
        """V, the number of views."""
        return 1 if self.spec.augmentation == Augmentation() else self.cache_views

    @property
    def _resampling(self) -> str:
        options = self.spec.augmentation
        if options.interpolates:
            return _SHARP_KERNELS
        return _WHOLE_PIXELS if options.shift > 0 else ""

    @property
    def made_from(self) -> dict[str, str | int]:
        """Everything that the tokens depend on."""
        return {
            "format": _FORMAT,
            "data": self.source.digest,
            "decoder": codec.DECODER,
            "preprocessing": repr(self.spec) + self._resampling,
            "tokenizer": self.tokenizer_digest,
            "views": self.views,
            "seed": self.seed,
        }

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """The cache's own folder."""
        digest = digest_of(*(str(part) for part in self.made_from.values()))
        return pathlib.Path(self.root) / digest[:16]

    @functools.cached_property
    def shards(self) -> dict[pathlib.Path, range]:
        """File -> its examples; depends only on the numbers of examples and views."""
        n = len(self.source)
        size = max(1, self.shard_images // self.views, -(-n // _MAX_SHARDS))
        paths = token_shards.paths_of(self.folder, -(-n // size))
        return {path: range(i * size, min((i + 1) * size, n)) for i, path in enumerate(paths)}

    def make_shards(self, process_index: int, process_count: int) -> None:
        """Makes every `process_count`-th shard, from `process_index` on, except intact ones."""
        mine = dict(itertools.islice(self.shards.items(), process_index, None, process_count))
        missing = {p: examples for p, examples in mine.items() if not token_shards.is_intact(p)}
        total, left = (
            self.views * sum(len(examples) for examples in part.values())
            for part in (mine, missing)
        )
        there = f" ({len(mine) - len(missing)} of {len(mine)} shards are there)" * (left < total)
        say(
            f"Tokenizing {len(self.source)} images, {self.views} view(s) each, into "
            f"{self.folder}{there}."
        )
        if self.views == 1 and self.spec.augmentation != Augmentation():
            say("All epochs see the same augmented views: raise config.data.cache_views.")
        # One stream for all shards, so that images of the next one are prepared meanwhile.
        images = pipeline.view_stream(
            self.source,
            self.spec,
            np.concatenate([[], *missing.values()]).astype(np.int64),
            views=self.views,
            seed=self.seed,
        )
        with track(total=total, initial=total - left, label="tokenizing") as bar:
            for path, examples in missing.items():
                tokens = self._tokens(itertools.islice(images, len(examples)), bar.update)
                token_shards.write_shard(path, self.source.labels[examples], tokens)

    def _tokens(self, images: Iterator[np.ndarray], advance: Callable[[int], None]) -> np.ndarray:
        """Tokenizes images of examples, each (V, R, R, 3) -> tokens (n, V, N).

        A batch never spans two shards and is always full, padded with zeros: rounding, which may
        depend on a batch's shape, is then the same in every build.
        """
        rows = []
        singles = itertools.chain.from_iterable(images)
        while batch := list(itertools.islice(singles, self.batch_size)):
            blanks = [np.zeros_like(batch[0])] * (self.batch_size - len(batch))
            tokens = np.asarray(self.tokenize(np.stack(batch + blanks)))
            rows.append(tokens[: len(batch)].reshape(len(batch), -1).astype(np.uint16))
            advance(len(batch))
        tokens = np.concatenate(rows)
        return tokens.reshape(-1, self.views, tokens.shape[1])

    def finish(self) -> None:
        """Writes the manifest, which makes the cache complete."""
        about = {"made_from": self.made_from, "examples": len(self.source), "views": self.views}
        finish(self.folder, list(self.shards), about)
