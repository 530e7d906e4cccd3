"""The visual-token cache: a source tokenised once, with a stated number of augmented views.

Training then never runs the tokenizer, which at 256 px is about 38 % of a step.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np

from vpt_gen.data import pipeline
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source, digest_of
from vpt_gen.files import written_whole
from vpt_gen.progress import say, track

MAX_CODES = 2**16  # tokens are kept as uint16


@dataclasses.dataclass(frozen=True)
class TokenCache:
    """A tokenised source.

    Attributes:
      tokens: (V, n, N) uint16, of V augmented views of each example (V = 1: as it is).
      labels: (n,) int32.
    """

    tokens: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def build_cache(
    source: Source,
    spec: ImageSpec,
    tokenize: Callable[[np.ndarray], jax.Array],
    *,
    tokenizer_digest: str,
    views: int,
    batch_size: int,
    seed: int,
    folder: str,
) -> TokenCache:
    """Loads the source's token cache from `folder`, or makes and saves it.

    Args:
      source: examples.
      spec: preprocessing; its augmentation makes the views.
      tokenize: images (B, R, R, 3) -> tokens (B, h, w).
      tokenizer_digest: of the tokenizer's parameters.
      views: V; without augmentation one view is all there is.
      batch_size: images at a time.
      seed: of the augmentation.
      folder: where caches are kept; the file's name is a digest of all of the above.
    """
    if spec.augmentation == Augmentation():
        views = 1
    digest = digest_of(source.digest, repr(spec), tokenizer_digest, str(views), str(seed))
    path = pathlib.Path(folder) / f"{digest[:16]}.npz"
    if path.exists():
        with np.load(path) as arrays:
            return TokenCache(arrays["tokens"], arrays["labels"])
    say(f"Tokenising {len(source)} images, {views} view(s) each, into {path}.")
    tokens = _tokenize_views(source, spec, tokenize, views, batch_size, seed)
    cache = TokenCache(tokens, source.labels)
    with written_whole(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, tokens=cache.tokens, labels=cache.labels)
    return cache


def _tokenize_views(source, spec, tokenize, views, batch_size, seed) -> np.ndarray:
    n = len(source)
    rows = []
    bar = track(total=views * n, label="tokenising")
    for batch in pipeline.view_batches(source, spec, batch_size=batch_size, views=views, seed=seed):
        images = batch["image"]
        missing = batch_size - len(images)
        padded = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
        tokens = np.asarray(tokenize(padded))[: len(images)]
        rows.append(tokens.reshape(len(images), -1).astype(np.uint16))
        bar.update(len(images))
    bar.close()
    return np.concatenate(rows).reshape(views, n, -1)


def token_batches(
    cache: TokenCache, *, batch_size: int, seed: int, start_step: int = 0
) -> Iterator[pipeline.Batch]:
    """Endless shuffled batches, from the one of update `start_step` on.

    Every epoch is a fresh permutation, and every draw picks one of the views. With several
    processes, each gets its rows of the global batch.

    Yields:
      tokens uint16 (B, N), label int32 (B,), index int32 (B,).
    """
    n = len(cache)
    local = batch_size // jax.process_count()
    first = jax.process_index() * local
    epoch, order, view = -1, None, None
    step = start_step
    while True:
        rows = []
        for position in range(step * batch_size, (step + 1) * batch_size):
            if position // n != epoch:
                epoch = position // n
                generator = np.random.default_rng([seed, epoch])
                order = generator.permutation(n)
                view = generator.integers(len(cache.tokens), size=n)
            rows.append((view[position % n], order[position % n]))
        views, indices = np.array(rows[first : first + local]).T
        yield {
            "tokens": cache.tokens[views, indices],
            "label": cache.labels[indices],
            "index": indices.astype(np.int32),
        }
        step += 1


def eval_token_batches(cache: TokenCache, *, batch_size: int) -> Iterator[pipeline.Batch]:
    """One pass over the first view, in order; the last batch may be smaller."""
    for start in range(0, len(cache), batch_size):
        indices = np.arange(start, min(start + batch_size, len(cache)))
        yield {
            "tokens": cache.tokens[0, indices],
            "label": cache.labels[indices],
            "index": indices.astype(np.int32),
        }
