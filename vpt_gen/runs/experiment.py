"""From a config to what the loop needs: nets, task and batches."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.config.fields import GAN_METHODS, METHODS
from vpt_gen.data import pipeline
from vpt_gen.data.batches import (
    image_batches,
    open_sources,
    token_batches,
)
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.evaluation.figures import names_in
from vpt_gen.machine import sharding
from vpt_gen.methods import adaptation
from vpt_gen.nets import lpips
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.classifier import Classifier
from vpt_gen.nets.discriminator import (
    RELEASED_WIDTHS,
    Discriminator,
    scaled_widths,
)
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.runs import gan_methods
from vpt_gen.runs.compatibility import (
    check_image_size,
    check_resolution,
    load_backbone,
    tokens_per_image,
)
from vpt_gen.runs.gan_sampler import GanSampler
from vpt_gen.runs.methods import decode_options, make_sampler
from vpt_gen.runs.sampler import Sampler
from vpt_gen.training import (
    classifier,
    gan,
    tokenizer,
    transformer,
)
from vpt_gen.training.average import averaged
from vpt_gen.training.compute import scans_layers
from vpt_gen.training.objectives import make_objective
from vpt_gen.training.optimizers import make_optimizer
from vpt_gen.training.state import Task


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, ready for `training.loop.train`.

    Attributes:
      task: what to train.
      net: the net that trains.
      train_source, eval_source: the examples; `eval_source` is None where none are held out.
      train_batches: start step -> batches.
      eval_batches: -> one pass over the evaluation examples, or None.
      facts: what a checkpoint must say besides its config: class names, digests.
      nets: the pretrained nets that a method adapts, by their names in `config.backbone`;
        otherwise none.
      sampler: draws images from the parameters that a method trains; otherwise None.
    """

    task: Task
    net: Any
    train_source: Source
    eval_source: Source | None
    train_batches: Callable[[int], Iterator[pipeline.Batch]]
    eval_batches: Callable[[], Iterator[pipeline.Batch]] | None
    facts: dict[str, Any]
    nets: dict[str, PretrainedNet] = dataclasses.field(default_factory=dict)
    sampler: Sampler | GanSampler | None = None


def make_experiment(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    """Builds the run that a checked config describes; writes nothing.

    Raises:
      UserError: data, backbone, image size or batch size that do not work.
    """
    sharding.check_batch_size(config.batch_size, mesh)
    build = {"tokenizer": _tokenizer, "transformer": _transformer, "gan": _gan}
    build["classifier"] = _classifier
    build |= dict.fromkeys(GAN_METHODS, _gan_adaptation)
    experiment = build.get(config.task, _adaptation)(config, workdir, mesh)
    try:
        jax.eval_shape(experiment.task.init, jax.random.key(0))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The net that the config describes cannot be built: {str(error).splitlines()[0]}"
        ) from error
    if config.best_metric:
        _check_best_metric(config, experiment)
    return experiment


def _check_best_metric(config: ConfigDict, experiment: Experiment) -> None:
    figures = []
    if config.task in METHODS and config.evaluation.every:
        figures = names_in(config.evaluation.features)
    if config.best_metric in figures:
        return
    if experiment.eval_batches is None:
        raise UserError(
            "config.best_metric needs held-out examples; raise config.data.holdout or set it to ''."
        )
    key = jax.random.key(0)
    side = config.data.image_size
    batch = {"image": np.zeros((1, side, side, 3), np.float32), "label": np.zeros(1, np.int32)}
    params = jax.eval_shape(experiment.task.init, key).params
    metrics = jax.eval_shape(experiment.task.eval_step, params, experiment.task.frozen, batch, key)
    known = [*(sorted(metrics) if config.eval_every else []), *figures]
    if config.best_metric not in known:
        raise UserError(
            f"config.best_metric is {config.best_metric!r}; this task's evaluation measures "
            f"{', '.join(known)}."
        )


def _tokenizer(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    del workdir
    net = VQGAN(**{**config.model, "channel_multipliers": tuple(config.model.channel_multipliers)})
    check_image_size(net, config.data.image_size)
    train_source, eval_source = open_sources(config)
    options = config.losses
    if options.adversarial_weight > 0 and config.data.image_size not in RELEASED_WIDTHS:
        raise UserError(
            f"The discriminator takes images of {', '.join(map(str, RELEASED_WIDTHS))} pixels, not "
            f"{config.data.image_size}; set config.losses.adversarial_weight to 0 to train without."
        )
    weights = options.perceptual_weights
    if weights and config.data.image_size < lpips.MIN_SIDE["vgg"]:
        raise UserError(
            f"config.data.image_size {config.data.image_size} is too small for the perceptual "
            f"term: use {lpips.MIN_SIDE['vgg']} or more, or set config.losses.perceptual_weights "
            "to ''."
        )
    task = tokenizer.make_task(
        net,
        make_optimizer(config.optimizer, config.num_steps),
        codebook_factor=config.optimizer.codebook_factor,
        image_size=config.data.image_size,
        quantizer_start=options.quantizer_start,
        reconstruction_weight=options.reconstruction_weight,
        adversarial_weight=options.adversarial_weight,
        adversarial_start=options.adversarial_start,
        r1_cost=options.r1_cost,
        discriminator=Discriminator(scaled_widths(options.discriminator_filters)),
        perceptual_weight=options.perceptual_weight,
        perceptual=lpips.distance if weights else None,
        perceptual_params=load_perceptual(weights).params if weights else None,
    )
    facts = {"class_names": list(train_source.class_names), "data": train_source.digest}
    rows = sharding.process_rows(config.batch_size, mesh)
    return Experiment(
        task,
        net,
        train_source,
        eval_source,
        *image_batches(config, train_source, eval_source, rows),
        facts,
    )


def _classifier(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    del workdir
    train_source, eval_source = open_sources(config)
    net = Classifier(
        train_source.num_classes, tuple(config.model.widths), config.model.blocks_per_stage
    )
    task = classifier.make_task(
        net,
        make_optimizer(config.optimizer, config.num_steps),
        image_size=config.data.image_size,
        label_smoothing=config.label_smoothing,
    )
    facts = {"class_names": list(train_source.class_names), "data": train_source.digest}
    rows = sharding.process_rows(config.batch_size, mesh)
    batches = image_batches(config, train_source, eval_source, rows)
    return Experiment(_averaged(task, config), net, train_source, eval_source, *batches, facts)


def _averaged(task: Task, config: ConfigDict) -> Task:
    return averaged(task, config.average_decay) if config.average_decay else task


def _transformer(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    vqgan = load_net(config.backbone.tokenizer, *TOKENIZERS, mesh=mesh)
    check_image_size(vqgan.net, config.data.image_size)
    train_source, eval_source = open_sources(config)
    num_tokens = tokens_per_image(vqgan.net, config.data.image_size)
    fields = dict(config.model)
    class_dropout = fields.pop("class_dropout", 0.0)
    fields["remat"] = config.compute.remat
    net = _new_transformer(config.family, fields, vqgan.net, num_tokens, train_source.num_classes)
    task = transformer.make_task(
        net,
        make_objective(net, config.label_smoothing, config.get("mask_schedule")),
        vqgan.net,
        vqgan.params,
        make_optimizer(config.optimizer, config.num_steps),
        num_classes=train_source.num_classes,
        num_tokens=num_tokens,
        class_dropout=class_dropout,
        decode_options=decode_options(config),
        dtype=config.compute.dtype,
        scan_layers=scans_layers(config.compute),
    )
    facts = {
        "class_names": list(train_source.class_names),
        "data": train_source.digest,
        "tokenizer": vqgan.digest,
    }
    batches = token_batches(config, workdir, mesh, train_source, eval_source, vqgan)
    return Experiment(_averaged(task, config), net, train_source, eval_source, *batches, facts)


def _new_transformer(family, fields, tokenizer, num_tokens: int, num_classes: int) -> MaskGIT | GPT:
    """An untrained transformer for a tokenizer's tokens and the data's classes."""
    if family == "nar":
        return MaskGIT(tokenizer.codebook_size, num_classes, num_tokens, **fields)
    if num_classes > tokenizer.codebook_size:
        raise UserError(
            f"A GPT takes class ids as visual tokens: {num_classes} classes need a codebook of at "
            f"least as many, and the tokenizer has {tokenizer.codebook_size}."
        )
    return GPT(tokenizer.codebook_size, num_tokens, **fields)


def _gan(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    del workdir
    check_resolution(config.data.image_size)
    gan_methods.check_parts(config, mesh)
    train_source, eval_source = open_sources(config)
    average = config.average
    net = BigGAN(
        train_source.num_classes,
        config.data.image_size,
        **{name: tuple(x) if name.endswith("attention") else x for name, x in config.model.items()},
    )
    task = gan.make_task(
        net,
        gan_methods.adversarial_optimizers(config, (gan.GENERATOR,)),
        average_decay=average.decay,
        average_start=average.start,
        **gan_methods.adversarial_options(config),
    )
    facts = {"class_names": list(train_source.class_names), "data": train_source.digest}
    rows = sharding.process_rows(config.batch_size, mesh)
    batches = image_batches(config, train_source, eval_source, rows)
    return Experiment(task, net, train_source, eval_source, *batches, facts)


def _gan_adaptation(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    del workdir
    gan_methods.check_parts(config, mesh)
    nets = load_backbone(config, mesh)
    train_source, eval_source = open_sources(config)
    facts = {
        "class_names": gan_methods.class_names(config, train_source.class_names),
        "data": train_source.digest,
        **{name: net.digest for name, net in nets.items()},
    }
    # First, as it checks that the method can use the source.
    sampler = gan_methods.make_sampler(config, nets, facts, mesh)
    task = gan_methods.make_task(config, nets["gan"], train_source.num_classes)
    rows = sharding.process_rows(config.batch_size, mesh)
    batches = image_batches(config, train_source, eval_source, rows)
    return Experiment(
        task, nets["gan"].net, train_source, eval_source, *batches, facts, nets, sampler
    )


def _adaptation(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    nets = load_backbone(config, mesh)
    vqgan, backbone = nets["tokenizer"], nets["transformer"]
    train_source, eval_source = open_sources(config)
    facts = {
        "class_names": list(train_source.class_names),
        "data": train_source.digest,
        **{name: net.digest for name, net in nets.items()},
    }
    condition = config.prompt.condition if config.task == "prompts" else "class"
    if condition == "instance" and eval_source is not None:
        raise UserError(
            "Prompts of instances know training images only, so none can be held out: set "
            "config.data.holdout to 0 (and config.data.eval_split to '')."
        )
    if "instance" in condition:
        facts["instance_labels"] = train_source.labels.tolist()
    sampler = make_sampler(config, nets, facts, mesh)
    task = adaptation.make_task(
        sampler.method,
        backbone.net,
        make_objective(backbone.net, config.label_smoothing, config.get("mask_schedule")),
        vqgan.net,
        {name: net.params for name, net in nets.items()},
        make_optimizer(config.optimizer, config.num_steps),
        num_tokens=sampler.num_tokens,
        decode_options=decode_options(config),
    )
    batches = token_batches(config, workdir, mesh, train_source, eval_source, vqgan)
    return Experiment(task, backbone.net, train_source, eval_source, *batches, facts, nets, sampler)
