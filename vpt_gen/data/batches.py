"""From `config.data` to sources and their batches, as images or as visual tokens."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.data import duplicates, pipeline
from vpt_gen.data.fewshot import choose_classes, choose_shots
from vpt_gen.data.kinds import kind_of
from vpt_gen.data.names import first_few, numbers_of
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source, split
from vpt_gen.data.tokens import cache as tokens
from vpt_gen.data.tokens.build import CacheBuild
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.machine.files import in_bucket
from vpt_gen.machine.progress import say

# Images tokenized at a time: independent of the training batch and of the devices and hosts,
# because rounding may depend on the shape of a device's batch.
_IMAGES_PER_DEVICE = 8


# start step -> endless training batches, and -> one evaluation pass, or None.
Batches = tuple[
    Callable[[int], Iterator[pipeline.Batch]], Callable[[], Iterator[pipeline.Batch]] | None
]


def open_sources(config: ConfigDict) -> tuple[Source, Source | None]:
    """Opens the training and the held-out examples of `config.data`.

    A few-shot run trains on `data.shots` examples per class; held-out and validation examples are
    not reduced and do not depend on the shots. Prints what figures do not show: exact duplicates,
    and classes without an image to evaluate on.

    Raises:
      UserError: data that cannot be opened, or no validation examples.
    """
    train_source, eval_source = _open_parts(config)
    data = config.data
    if told := _unmeasured(data, train_source, eval_source):
        say(told)
    if data.shots:
        train_source = choose_shots(train_source, data.shots, data.shots_seed)
    if told := duplicates.sentence(duplicates.count(train_source, eval_source), train_source.name):
        say(told)
    return train_source, eval_source


def _unmeasured(data: ConfigDict, train_source: Source, eval_source: Source | None) -> str:
    """Names the classes without an image to evaluate on, in one sentence; '' if there are none."""
    field = "validation" if data.evaluate_on == "validation" else "holdout"
    share, kind = f"config.data.{field} = {data[field]:g}", evaluation_name(data)
    if eval_source is None:
        small = f"{share} is less than one image of any class of {train_source.name}"
        return f"Nothing is held out, as {small}; raise it." if data[field] else ""
    counts = np.bincount(train_source.labels, minlength=train_source.num_classes)
    lacking = np.setdiff1d(np.flatnonzero(counts), eval_source.labels)
    if not len(lacking):
        return ""
    split_name = field == "holdout" and kind_of(data).eval_split(data)
    why = f"the split {split_name!r} has none" if split_name else f"{share} is less than one image"
    named = first_few([train_source.class_names[label] for label in lacking])
    return (
        f"No {kind} of {len(lacking):,} of {train_source.num_classes:,} classes ({named}): "
        f"{why}. Figures cannot compare them."
    )


def evaluation_name(data: ConfigDict) -> str:
    """Returns what the images to evaluate on are called, if there are any."""
    return "validation images" if data.evaluate_on == "validation" else "held-out images"


def open_judge(config: ConfigDict) -> Source | None:
    """Opens the images for the classifier of class agreement; None to use the training images.

    Raises:
      UserError: data that cannot be opened, or too few for `config.evaluation.judge_shots`.
    """
    shots = config.evaluation.judge_shots
    if not shots:
        return None
    pool, _ = _open_parts(config)
    fewest = np.bincount(pool.labels, minlength=pool.num_classes).min()
    if fewest < shots:
        raise UserError(
            f"config.evaluation.judge_shots is {shots}, but a class of {pool.name} has only "
            f"{fewest} image(s) that are neither held out nor for validation; lower it."
        )
    return choose_shots(pool, shots, config.data.holdout_seed)


def _open_parts(config: ConfigDict) -> tuple[Source, Source | None]:
    """Returns examples that may be trained on, before `data.shots`, and those to evaluate on."""
    data = config.data
    kind = kind_of(data)
    if remark := kind.remark(data):
        say(remark)
    train_source, eval_split = kind.open(data, data.train_split), kind.eval_split(data)
    eval_source = kind.open(data, eval_split) if eval_split else None
    if data.classes:
        train_source = choose_classes(train_source, data.classes)
        eval_source = eval_source and choose_classes(eval_source, data.classes)
    if eval_source and eval_source.class_names != train_source.class_names:
        only = numbers_of(eval_source.class_names).keys() ^ numbers_of(train_source.class_names)
        if only:
            raise UserError(
                f"{eval_source.name} and {train_source.name} have different classes: "
                f"{', '.join(sorted(only))} (only in one of them); evaluation needs the same "
                "classes."
            )
        eval_source = choose_classes(eval_source, train_source.class_names)
    if eval_source is None:
        train_source, eval_source = split(train_source, data.holdout, data.holdout_seed)
    train_source, validation_source = split(train_source, data.validation, data.holdout_seed)
    if data.evaluate_on == "validation":
        eval_source = validation_source
        if eval_source is None:
            raise UserError(
                f"config.data.validation is {data.validation:g}, less than one image of any class "
                f"of {train_source.name}; raise it."
            )
    return train_source, eval_source


def image_spec(data: ConfigDict) -> ImageSpec:
    """Returns the preprocessing of `config.data`."""
    changes = {field.name: data[field.name] for field in dataclasses.fields(Augmentation)}
    return ImageSpec(data.image_size, data.fit, Augmentation(**changes))


def image_batches(
    config: ConfigDict, train_source: Source, eval_source: Source | None, rows: np.ndarray
) -> Batches:
    """Returns the `rows` of batches of images, see `data/pipeline.py` for their content.

    Returns:
      start step -> endless training batches, and -> one evaluation pass; None if `eval_source`
      is None.
    """
    spec = image_spec(config.data)

    def train_batches(start_step: int):
        return pipeline.train_batches(
            train_source,
            spec,
            batch_size=config.batch_size,
            seed=config.seed,
            start_step=start_step,
            rows=rows,
        )

    def eval_batches():
        assert eval_source is not None
        return pipeline.eval_shares(eval_source, spec, batch_size=config.batch_size, rows=rows)

    return train_batches, eval_batches if eval_source else None


def token_batches(
    config: ConfigDict,
    workdir: str,
    mesh: Mesh,
    train_source: Source,
    eval_source: Source | None,
    vqgan: PretrainedNet,
) -> Batches:
    """Like `image_batches`, from the token cache, which is made with the first batch.

    If `config.data.cache` is off, the batches hold images and the step tokenizes them.

    Raises:
      UserError: a codebook too large for the cache.
    """
    rows = sharding.process_rows(config.batch_size, mesh)
    if not config.data.cache:
        return image_batches(config, train_source, eval_source, rows)
    if vqgan.net.codebook_size > tokens.MAX_CODES:
        raise UserError(
            f"The token cache holds up to {tokens.MAX_CODES} codes, but the tokenizer has "
            f"{vqgan.net.codebook_size}: set config.data.cache to False."
        )
    root = cache_root(config, workdir)
    spec = image_spec(config.data)
    evaluated = eval_source if config.eval_every else None

    def cache(source: Source, spec: ImageSpec, tokenize: _HostTokenizer) -> tokens.TokenCache:
        return CacheBuild(
            source,
            spec,
            tokenize,
            vqgan.tokens_digest,
            config.data.cache_views,
            tokenize.batch_size,
            config.seed,
            root,
        ).cache()

    @functools.cache
    def caches() -> tuple[tokens.TokenCache, tokens.TokenCache | None]:
        plain = dataclasses.replace(spec, augmentation=Augmentation())
        tokenize = _HostTokenizer(vqgan, mesh)
        train_cache = cache(train_source, spec, tokenize)
        return train_cache, cache(evaluated, plain, tokenize) if evaluated else None

    def train_batches(start_step: int):
        # Both caches are made here, before the first update, not when the run is built.
        return tokens.token_batches(
            caches()[0],
            batch_size=config.batch_size,
            seed=config.seed,
            start_step=start_step,
            rows=rows,
        )

    def eval_batches():
        eval_cache = caches()[1]
        assert eval_cache is not None
        return tokens.eval_token_shares(eval_cache, batch_size=config.batch_size, rows=rows)

    return train_batches, eval_batches if eval_source else None


def cache_root(config: ConfigDict, workdir: str) -> str:
    """Returns the folder of a run's token caches.

    Raises:
      UserError: a folder in a bucket.
    """
    if in_bucket(config.data.cache_dir or workdir):
        raise UserError(
            "The token cache is memory-mapped, which a bucket does not support: set "
            "config.data.cache_dir to a folder that all hosts share (docs/launch.md)."
        )
    return config.data.cache_dir or str(pathlib.Path(workdir) / "tokens")


class _HostTokenizer:
    """Images (B, R, R, 3) -> tokens (B, h, w) on this host's devices, for B = `batch_size`.

    Each host tokenizes its own shards, and meanwhile each of its devices holds the whole tokenizer,
    so that tokens do not depend on the mesh. A tokenizer of which devices of the run hold parts, or
    which devices of several hosts hold, is read once more, with the first images.
    """

    def __init__(self, vqgan: PretrainedNet, mesh: Mesh):
        self._vqgan = vqgan
        self._mesh = sharding.make_mesh(devices=mesh.local_devices)
        self.batch_size = _IMAGES_PER_DEVICE * self._mesh.size
        self._encode = jax.jit(lambda p, x: vqgan.net.apply({"params": p}, x, method="tokenize"))

    def __call__(self, images: np.ndarray) -> jax.Array:
        return self._encode(self._params, jax.device_put(images, sharding.split_batch(self._mesh)))

    @functools.cached_property
    def _params(self):
        everywhere, params = sharding.replicated(self._mesh), self._vqgan.params
        if not sharding.lies_as(params, everywhere):
            params = load_net(str(self._vqgan.path), *TOKENIZERS).params
        return jax.device_put(params, everywhere)
