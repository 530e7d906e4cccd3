"""Builds the experiment of pretraining from a config: one function per task."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints import arrival, store
from vpt_gen.checkpoints.backbone import TOKENIZERS, PretrainedNet, load_net, net_folder
from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.data.batches import image_batches, open_sources, token_batches
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.nets import NETS, build, lpips
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.classifier import Classifier, feature_distance
from vpt_gen.nets.discriminator import RELEASED_WIDTHS, Discriminator, scaled_widths
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.runs.compatibility import (
    check_arrangement,
    check_image_size,
    check_resolution,
    tokens_per_image,
)
from vpt_gen.runs.experiment import Experiment
from vpt_gen.runs.gans import adversarial_optimizers, adversarial_options, check_parts
from vpt_gen.runs.transformers import decode_options
from vpt_gen.training import classifier, code_targets, gan, tokenizer, transformer
from vpt_gen.training.compute import as_published, scans_layers
from vpt_gen.training.objectives import Objective
from vpt_gen.training.optimizers import make_optimizer
from vpt_gen.training.state import Task


def tokenizer_experiment(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    """Builds a tokenizer, with or without a discriminator and a perceptual distance."""
    del workdir
    net = build(_fields(config.model))
    check_image_size(net, config.data.image_size)
    train_source, eval_source = open_sources(config)
    optimizer = make_optimizer(config.optimizer, config.num_steps)
    options = config.losses
    if options.predict_codes_of:
        task, facts = _code_targets(config, net, optimizer)
        return _of_images(config, mesh, task, net, train_source, eval_source, facts)
    if options.adversarial_weight > 0 and config.data.image_size not in RELEASED_WIDTHS:
        raise UserError(
            f"The discriminator takes images of {', '.join(map(str, RELEASED_WIDTHS))} pixels, not "
            f"{config.data.image_size}; set config.losses.adversarial_weight to 0 to omit it."
        )
    perceptual, perceptual_params = _perceptual(options.perceptual_weights, config.data.image_size)
    kept = _kept(options.keep_tokens, net)
    task = tokenizer.make_task(
        net,
        optimizer,
        codebook_factor=config.optimizer.codebook_factor,
        image_size=config.data.image_size,
        quantizer_start=options.quantizer_start,
        reconstruction_weight=options.reconstruction_weight,
        adversarial_weight=options.adversarial_weight,
        adversarial_start=options.adversarial_start,
        r1_cost=options.r1_cost,
        discriminator=Discriminator(scaled_widths(options.discriminator_filters)),
        perceptual_weight=options.perceptual_weight,
        perceptual=perceptual,
        perceptual_params=perceptual_params,
        start=kept and kept.params,
    )
    facts = {"tokens_of": kept.tokens_digest} if kept else {}
    return _of_images(config, mesh, task, net, train_source, eval_source, facts)


def _of_images(
    config: ConfigDict,
    mesh: Mesh,
    task: Task,
    net: Tokenizer,
    train_source: Source,
    eval_source: Source | None,
    facts: dict[str, Any],
) -> Experiment:
    """Returns the experiment of a tokenizer's task; `facts` are further ones."""
    facts = {
        "class_names": list(train_source.class_names),
        "data": train_source.digest,
        **facts,
    }
    rows = sharding.process_rows(config.batch_size, mesh)
    return Experiment(
        task,
        net,
        train_source,
        eval_source,
        *image_batches(config, train_source, eval_source, rows),
        facts,
        exported=lambda params: params["vqgan"],
    )


def _code_targets(
    config: ConfigDict, net: TiTok, optimizer: optax.GradientTransformation
) -> tuple[Task, dict[str, Any]]:
    """Returns the task of a TiTok that predicts the codes of a VQGAN, and facts about that."""
    path = config.losses.predict_codes_of
    vqgan = load_net(arrival.directory(path), "vqgan")
    if fields := code_targets.mismatch(net, vqgan.net):
        settings = ", ".join(f"config.model.{name}={value}" for name, value in fields.items())
        raise UserError(f"config.losses.predict_codes_of: the VQGAN in {path} needs {settings}.")
    task = code_targets.make_task(
        net,
        vqgan.net,
        vqgan.params,
        optimizer,
        codebook_factor=config.optimizer.codebook_factor,
        quantizer_start=config.losses.quantizer_start,
    )
    return task, {"predict_codes_of": vqgan.digest}


def _kept(path: str, net: Tokenizer) -> PretrainedNet | None:
    """Returns the tokenizer whose tokens stay; None if there is none."""
    if not path:
        return None
    trained = load_net(path, *TOKENIZERS)
    if trained.net != net:
        raise UserError(
            f"config.losses.keep_tokens: the tokenizer in {path} is another net than config.model "
            "describes: use the config that it was trained with."
        )
    return trained


def _perceptual(weights: str, image_size: int) -> tuple[Callable[..., jax.Array] | None, Any]:
    """Returns the perceptual distance of `config.losses` and its parameters; None if disabled."""
    if not weights:
        return None, None
    if (net_folder(weights) / "net.json").is_file():
        pretrained = load_net(weights, "classifier")
        return functools.partial(feature_distance, pretrained.net), pretrained.params
    if image_size < lpips.MIN_SIDE["vgg"]:
        raise UserError(
            f"config.data.image_size {image_size} is too small for the perceptual term: use "
            f"{lpips.MIN_SIDE['vgg']} or more, or set config.losses.perceptual_weights to ''."
        )
    return lpips.distance, load_perceptual(weights).params


def classifier_experiment(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    """Builds a classifier of images."""
    train_source, eval_source = open_sources(config)
    net = Classifier(train_source.num_classes, **_fields(config.model))
    image = np.zeros((1, config.data.image_size, config.data.image_size, 3), np.float32)
    task = classifier.make_task(
        net,
        make_optimizer(config.optimizer, config.num_steps),
        image_size=config.data.image_size,
        label_smoothing=config.label_smoothing,
        start=_start(config, workdir, "classifier", lambda key: net.init(key, image)),
    )
    facts = {"class_names": list(train_source.class_names), "data": train_source.digest}
    rows = sharding.process_rows(config.batch_size, mesh)
    batches = image_batches(config, train_source, eval_source, rows)
    return Experiment(task, net, train_source, eval_source, *batches, facts)


def transformer_experiment(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    """Builds a class-conditional transformer of a tokenizer's tokens."""
    vqgan = load_net(arrival.directory(config.backbone.tokenizer), *TOKENIZERS, mesh=mesh)
    check_image_size(vqgan.net, config.data.image_size)
    train_source, eval_source = open_sources(config)
    num_tokens = tokens_per_image(vqgan.net, config.data.image_size)
    fields = {**_fields(config.model), "remat": config.compute.remat}
    kind = NETS[fields.pop("net")]
    cure = "change config.model.net or config.backbone.tokenizer"
    check_arrangement(vqgan.net, kind, cure)
    class_dropout = fields.pop("class_dropout", 0.0)
    try:
        net = kind.for_data(vqgan.net.codebook_size, train_source.num_classes, num_tokens, **fields)
        if class_dropout:
            net = net.dropping_classes(train_source.num_classes)
    except ValueError as error:
        raise UserError(str(error)) from error
    tokens = np.zeros((1, num_tokens), np.int32)
    task = transformer.make_task(
        net,
        Objective(net, config.label_smoothing, config.get("mask_schedule")),
        vqgan.net,
        vqgan.params,
        make_optimizer(config.optimizer, config.num_steps),
        num_classes=train_source.num_classes,
        num_tokens=num_tokens,
        class_dropout=class_dropout,
        decode_options=decode_options(config),
        dtype=config.compute.dtype,
        scan_layers=scans_layers(config.compute),
        accumulate=config.accumulate,
        start=_start(
            config,
            workdir,
            config.model.net,
            lambda key: net.init(key, tokens, class_ids=tokens[:, 0])["params"],
        ),
    )
    facts = {
        "class_names": list(train_source.class_names),
        "data": train_source.digest,
        "tokenizer": vqgan.tokens_digest,
    }
    batches = token_batches(config, workdir, mesh, train_source, eval_source, vqgan)
    return Experiment(
        task,
        net,
        train_source,
        eval_source,
        *batches,
        facts,
        exported=functools.partial(as_published, net),
    )


def _start(config: ConfigDict, workdir: str, kind: str, init: Callable[[jax.Array], Any]) -> Any:
    """Returns the parameters of `config.start_from` in float32.

    None if it names no net, or if the run has a checkpoint, from which it resumes.

    Args:
      config: of the run.
      workdir: where it lives.
      kind: of the net, key of `nets.NETS`.
      init: key -> random parameters of the net that the config and the data make.

    Raises:
      UserError: no such net, or one of other sizes.
    """
    if not config.start_from or store.finished_steps(workdir):
        return None
    params = load_net(arrival.directory(config.start_from), kind).params
    expected = jax.eval_shape(init, jax.random.key(0))
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
        raise UserError(
            f"{config.start_from} has other sizes than config.model, classes or tokens; set the "
            "fields that its net.json names, or leave config.start_from empty."
        )
    return jax.tree.map(lambda x: np.asarray(x, np.float32), params)


def gan_experiment(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    """Builds a BigGAN."""
    del workdir
    check_resolution(config.data.image_size)
    check_parts(config, mesh)
    train_source, eval_source = open_sources(config)
    average = config.average
    net = BigGAN(train_source.num_classes, config.data.image_size, **_fields(config.model))
    task = gan.make_task(
        net,
        adversarial_optimizers(config, (gan.GENERATOR,)),
        average_decay=average.decay,
        average_start=average.start,
        **adversarial_options(config),
    )
    facts = {"class_names": list(train_source.class_names), "data": train_source.digest}
    rows = sharding.process_rows(config.batch_size, mesh)
    batches = image_batches(config, train_source, eval_source, rows)
    return Experiment(task, net, train_source, eval_source, *batches, facts, exported=gan.exported)


def _fields(model: ConfigDict) -> dict[str, Any]:
    """Returns a net's fields from its config group, sequences as tuples."""
    return {name: tuple(x) if isinstance(x, list) else x for name, x in model.items()}


PRETRAINING: dict[str, Callable[[ConfigDict, str, Mesh], Experiment]] = {
    "tokenizer": tokenizer_experiment,
    "transformer": transformer_experiment,
    "gan": gan_experiment,
    "classifier": classifier_experiment,
}
