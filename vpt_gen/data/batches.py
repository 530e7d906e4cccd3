"""From `config.data` to sources and their batches, as images or as visual tokens."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen import sharding
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data import arrays, folder, pipeline, tfds, tokens
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source, split
from vpt_gen.errors import UserError


def open_sources(config: ConfigDict) -> tuple[Source, Source | None]:
    """The training and the held-out examples that `config.data` names."""
    data = config.data
    if data.kind == "tfds" and data.eval_split:
        return (
            tfds.open_tfds(data.name, data.train_split, data.data_dir),
            tfds.open_tfds(data.name, data.eval_split, data.data_dir),
        )
    if data.kind == "tfds":
        source = tfds.open_tfds(data.name, data.train_split, data.data_dir)
    elif data.kind == "folder":
        source = folder.open_folder(data.path)
    elif data.kind == "npz":
        source = arrays.open_npz(data.path)
    else:
        source = arrays.open_digits()
    return split(source, data.holdout, config.seed)


def image_spec(data: ConfigDict) -> ImageSpec:
    """Preprocessing from `config.data`."""
    augmentation = Augmentation(
        data.flip, data.rotation, data.min_scale, data.max_scale, data.shift
    )
    return ImageSpec(data.image_size, data.fit, augmentation)


def image_batches(config: ConfigDict, train_source: Source, eval_source: Source | None):
    """Batches of images, see `data/pipeline.py` for what is in them.

    Returns:
      start step -> endless training batches, and -> one evaluation pass; None where `eval_source`
      is.
    """
    spec = image_spec(config.data)

    def train_batches(start_step: int):
        return pipeline.train_batches(
            train_source,
            spec,
            batch_size=config.batch_size,
            seed=config.seed,
            start_step=start_step,
        )

    def eval_batches():
        return pipeline.eval_batches(eval_source, spec, batch_size=config.batch_size)

    return train_batches, eval_batches if eval_source else None


def token_batches(
    config: ConfigDict,
    workdir: str,
    mesh: Mesh,
    train_source: Source,
    eval_source: Source | None,
    vqgan: PretrainedNet,
):
    """Like `image_batches`, from the token cache; it is made when the first batch is asked for.

    Where `config.data.cache` is off, the batches hold images and the step tokenises them.

    Raises:
      UserError: a codebook too large for the cache.
    """
    if not config.data.cache:
        return image_batches(config, train_source, eval_source)
    if vqgan.net.codebook_size > tokens.MAX_CODES:
        raise UserError(
            f"The token cache holds up to {tokens.MAX_CODES} codes, the tokenizer has "
            f"{vqgan.net.codebook_size}: set config.data.cache to False."
        )
    spec = image_spec(config.data)
    params = jax.device_put(vqgan.params, sharding.replicated(mesh))
    encode = jax.jit(lambda p, x: vqgan.net.apply({"params": p}, x, method="tokenize"))

    def tokenize(images: np.ndarray) -> jax.Array:
        return encode(params, jax.device_put(images, sharding.split_batch(mesh)))

    def cache(source: Source, spec: ImageSpec) -> tokens.TokenCache:
        return tokens.build_cache(
            source,
            spec,
            tokenize,
            tokenizer_digest=vqgan.digest,
            views=config.data.cache_views,
            batch_size=config.batch_size,
            seed=config.seed,
            folder=config.data.cache_dir or str(pathlib.Path(workdir) / "tokens"),
        )

    @functools.cache
    def caches() -> tuple[tokens.TokenCache, tokens.TokenCache | None]:
        plain = dataclasses.replace(spec, augmentation=Augmentation())
        return cache(train_source, spec), cache(eval_source, plain) if eval_source else None

    def train_batches(start_step: int):
        # Both caches are made here, before the first update, and not when the run is described.
        return tokens.token_batches(
            caches()[0], batch_size=config.batch_size, seed=config.seed, start_step=start_step
        )

    def eval_batches():
        return tokens.eval_token_batches(caches()[1], batch_size=config.batch_size)

    return train_batches, eval_batches if eval_source else None
