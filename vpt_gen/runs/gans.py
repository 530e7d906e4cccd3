"""Runs that adapt a BigGAN: their nets, task, batches and sampler, from a config."""

from collections.abc import Sequence
from typing import Any, cast

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.batches import Batches, image_batches
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods import METHODS
from vpt_gen.methods.record import GanMethod
from vpt_gen.runs.compatibility import load_tokenizer_and_gan
from vpt_gen.runs.gan_sampler import GanSampler
from vpt_gen.training.adversarial import DISCRIMINATOR
from vpt_gen.training.optimizers import make_optimizer
from vpt_gen.training.state import Task

Nets = dict[str, PretrainedNet]


def load_nets(config: ConfigDict, mesh: Mesh) -> Nets:
    """Loads the tokenizer, for measuring, and the BigGAN."""
    check_parts(config, mesh)
    return load_tokenizer_and_gan(config, mesh)


def make_facts(config: ConfigDict, train: Source, held_out: Source | None) -> dict[str, Any]:
    """Returns facts about the data that sampling needs."""
    del held_out
    method = _method(config)
    return {"class_names": method.class_names(train.class_names)}


def make_sampler(config: ConfigDict, nets: Nets, facts: dict[str, Any], mesh: Mesh) -> GanSampler:
    """Makes the sampler of a run's trained parameters.

    Args:
      config: of the run.
      nets: {"gan": ...}, pretrained, and others.
      facts: of the run: `class_names`.
      mesh: devices.

    Raises:
      UserError: a source that the method cannot use.
    """
    num_classes = len(facts["class_names"])
    try:
        drawing = _method(config).drawing(nets["gan"].net, num_classes)
    except ValueError as error:
        raise UserError(f"config.backbone.gan: {error}") from error
    options = {name: x for name, x in config.decode.items() if name != "batch_size"}
    return GanSampler(
        drawing.net,
        drawing.inputs,
        drawing.group_of,
        num_classes,
        options,
        config.decode.batch_size,
        mesh,
    )


def make_task(config: ConfigDict, nets: Nets, facts: dict[str, Any], sampler: GanSampler) -> Task:
    """Makes the task that trains the method's parts of the generator, and a discriminator."""
    del sampler
    method, source = _method(config), nets["gan"]
    return method.make_task(
        source.net,
        source.params,
        len(facts["class_names"]),
        adversarial_optimizers(config, method.groups),
        **adversarial_options(config),
    )


def make_batches(
    config: ConfigDict,
    workdir: str,
    mesh: Mesh,
    train: Source,
    held_out: Source | None,
    nets: Nets,
) -> Batches:
    """Makes batches of images, see `image_batches`."""
    del workdir, nets
    rows = sharding.process_rows(config.batch_size, mesh)
    return image_batches(config, train, held_out, rows)


def hold(config: ConfigDict, sampler: GanSampler, params: Any) -> Any:
    """Returns a run's parameters unchanged: a GAN's have one layout."""
    del config, sampler
    return params


def _method(config: ConfigDict) -> GanMethod:
    return cast(GanMethod, METHODS[config.task].from_config(config))


def adversarial_options(config: ConfigDict) -> dict[str, Any]:
    """Returns options of `training.adversarial.Adversaries` from `config.adversarial`."""
    options = config.adversarial
    return {
        "loss": options.loss,
        "steps": options.discriminator_steps,
        "accumulations": options.accumulations,
        "orthogonal": {
            "generator": options.generator_orthogonal,
            DISCRIMINATOR: options.discriminator_orthogonal,
        },
    }


def adversarial_optimizers(config: ConfigDict, groups: Sequence[str]):
    """Makes Adam for the discriminator and for each group on the generator's side."""
    options = config.optimizer
    factors = {**dict.fromkeys(groups, 1.0), DISCRIMINATOR: options.discriminator_factor}
    return {
        name: make_optimizer(options, config.num_steps, factor=factor, epsilon=options.epsilon)
        for name, factor in factors.items()
    }


def check_parts(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError if the devices cannot share a part of the batch evenly."""
    parts = config.adversarial.discriminator_steps * config.adversarial.accumulations
    share = sharding.num_batch_parts(mesh)
    if config.batch_size % (parts * share):
        raise UserError(
            f"config.batch_size {config.batch_size} is trained in {parts} parts, each shared by "
            f"{share} devices: use a multiple of {parts * share}."
        )
