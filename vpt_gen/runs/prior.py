"""Prior preservation: what the source draws of its own classes, and batches that have it.

The source draws tokens once, before the first update, and they are kept next to the token cache, so
that a resumed run, or another one of the same source, reads the same. `methods/prior.py` has the
loss.
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.batches import Batches
from vpt_gen.data.pipeline import Batch
from vpt_gen.data.source import digest_of
from vpt_gen.data.tokens import shards
from vpt_gen.data.tokens.cache import (
    MAX_CODES,
    TokenCache,
    finish,
    made_together,
    token_batches,
)
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.machine.progress import say, track
from vpt_gen.methods.method import Method
from vpt_gen.methods.prior import LABELS, TOKENS
from vpt_gen.runs.samples import class_bank
from vpt_gen.runs.token_sampler import TokenSampler

_FORMAT = 1
_SHARD = 256  # images: as many does a killed drawing lose, and those of a batch


def unchanged(source: PretrainedNet) -> Method:
    """Returns the method that trains nothing: its classes are the source's.

    Raises:
      UserError: a source that does not tell its classes, or with too many codes to be kept.
    """
    net = source.net
    num_classes = net.known_classes or len(source.about.get("class_names", ()))
    fault = "" if num_classes else f"this {net.title} does not record any class of its own"
    if net.codebook_size > MAX_CODES:
        fault = f"its tokens are kept as numbers below {MAX_CODES}"
    if fault:
        raise UserError(
            f"config.prior.weight needs images of the source's classes, but {fault}: set it to 0."
        )
    return Method(lambda key, params: {}, num_classes)


def even_labels(num_samples: int, num_classes: int) -> np.ndarray:
    """Returns the classes (n,) of images, in order, evenly spread over all."""
    return (np.arange(num_samples) * num_classes // num_samples).astype(np.int32)


def drawn_tokens(
    config: ConfigDict, root: str, source: PretrainedNet, sampler: TokenSampler
) -> TokenCache:
    """Opens the tokens that the source draws; first draws them, or their missing shards.

    All processes draw together, and the first one writes.

    Args:
      config: of the run.
      root: folder of token caches.
      source: the transformer.
      sampler: of the source, with the method `unchanged`.

    Raises:
      UserError: a folder that cannot be written, or a damaged cache.
    """
    made_from = {
        "format": _FORMAT,
        "transformer": source.digest,
        "dtype": config.compute.dtype,
        "tokens": sampler.num_tokens,
        "decode": repr(sorted(sampler.options.items())),
        "batch": sampler.batch_size,
        "classes": sampler.method.num_classes,
        "samples": config.prior.num_samples,
        "seed": config.prior.seed,
    }
    folder = pathlib.Path(root) / digest_of("prior", *map(str, made_from.values()))[:16]

    def make() -> None:
        labels = even_labels(config.prior.num_samples, sampler.method.num_classes)
        paths = _draw(folder, labels, config.prior.seed, sampler)
        about = {"made_from": made_from, "examples": len(labels), "views": 1}
        distributed.first_does(lambda: finish(folder, paths, about))

    return made_together(folder, make)


def _draw(
    folder: pathlib.Path, labels: np.ndarray, seed: int, sampler: TokenSampler
) -> list[pathlib.Path]:
    """Draws the missing shards of tokens of classes (n,), and returns the files of all."""
    shard_of = np.arange(len(labels)) // _SHARD
    paths = shards.paths_of(folder, shard_of[-1] + 1)
    missing = np.array([not distributed.all_agree(shards.is_intact(path)) for path in paths])
    say(f"Drawing {len(labels)} images of the source for prior preservation, into {folder}.")
    drawn = sampler.stream_tokens({}, class_bank(labels), seed, missing[shard_of])
    with track(total=int(missing[shard_of].sum()), label="drawing") as bar:
        for number in np.flatnonzero(missing):
            here = shard_of == number
            tokens = np.stack(list(itertools.islice(drawn, int(here.sum()))))[:, None]
            write = functools.partial(
                shards.write_shard, paths[number], labels[here], tokens.astype(np.uint16)
            )
            distributed.first_does(write)
            bar.update(len(tokens))
    return paths


def with_prior(
    batches: Batches, tokens: Callable[[], TokenCache], config: ConfigDict, rows: np.ndarray
) -> Batches:
    """Adds as many images of the source to each training batch as it has new ones.

    Args:
      batches: of the new images.
      tokens: -> those of the source, see `drawn_tokens`; called before the first batch is made.
      config: of the run.
      rows: rows of the global batch that this process needs.
    """
    train_batches, eval_batches = batches

    def both(start_step: int) -> Iterator[Batch]:
        of_images = train_batches(start_step)
        of_source = token_batches(
            tokens(),
            batch_size=config.batch_size,
            seed=config.seed,
            start_step=start_step,
            rows=rows,
        )
        return map(_joined, of_images, of_source)

    return both, eval_batches


def _joined(batch: Batch, of_source: Batch) -> Batch:
    return {**batch, TOKENS: of_source["tokens"], LABELS: of_source["label"]}
