"""From a config to the methods that adapt a BigGAN: their tasks, and what draws images by them."""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods import cgantransfer, minegan
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.runs.gan_sampler import GanSampler
from vpt_gen.training.adversarial import DISCRIMINATOR
from vpt_gen.training.optimizers import make_optimizer
from vpt_gen.training.state import Task

# What images of a miner are called where it is trained on several classes: it is told none.
NO_CLASS = "no class"


def adversarial_options(config: ConfigDict) -> dict[str, Any]:
    """Options of `training.adversarial.Adversaries` from `config.adversarial`."""
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


def check_parts(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError where the devices cannot share a part of the batch evenly."""
    parts = config.adversarial.discriminator_steps * config.adversarial.accumulations
    share = sharding.num_batch_parts(mesh)
    if config.batch_size % (parts * share):
        raise UserError(
            f"config.batch_size {config.batch_size} is trained in {parts} parts, each shared by "
            f"{share} devices: use a multiple of {parts * share}."
        )


def adversarial_optimizers(config: ConfigDict, groups: Sequence[str]):
    """Adam for the discriminator, and for each group on the generator's side."""
    options = config.optimizer
    factors = {**dict.fromkeys(groups, 1.0), DISCRIMINATOR: options.discriminator_factor}
    return {
        name: make_optimizer(options, config.num_steps, factor=factor, epsilon=options.epsilon)
        for name, factor in factors.items()
    }


def class_names(config: ConfigDict, of_data: Sequence[str]) -> list[str]:
    """The classes that a run can be asked for; MineGAN's miner is of all that it is trained on."""
    names = list(of_data)
    return [NO_CLASS] if config.task == "minegan" and len(names) > 1 else names


def make_task(config: ConfigDict, source: PretrainedNet, num_classes: int) -> Task:
    """The task of `config.task`.

    Args:
      config: of the run.
      source: the pretrained BigGAN.
      num_classes: of the data.
    """
    options = adversarial_options(config)
    match config.task:
        case "minegan":
            optimizers = adversarial_optimizers(config, minegan.GROUPS)
            return minegan.make_task(
                source.net, source.params, optimizers, **config.minegan, **options
            )
        case "cgantransfer":
            optimizers = adversarial_optimizers(config, cgantransfer.GROUPS)
            return cgantransfer.make_task(
                source.net, source.params, num_classes, optimizers, **config.cgantransfer, **options
            )
    raise ValueError(f"{config.task} adapts no BigGAN.")


def make_sampler(
    config: ConfigDict, nets: dict[str, PretrainedNet], facts: dict[str, Any], mesh: Mesh
) -> GanSampler:
    """What draws images from the parameters that a run trains.

    Args:
      config: of the run.
      nets: {"gan": ...}, pretrained, and others.
      facts: of the run: `class_names`.
      mesh: devices.

    Raises:
      UserError: a source that the method cannot use.
    """
    source, num_classes = nets["gan"].net, len(facts["class_names"])
    net, inputs, group_of = _drawing(config.task, source, num_classes)
    options = {name: x for name, x in config.decode.items() if name != "batch_size"}
    return GanSampler(net, inputs, group_of, num_classes, options, config.decode.batch_size, mesh)


def _drawing(task: str, source: BigGAN, num_classes: int):
    """`GanSampler.net`, `.inputs` and `.group_of` of a method."""
    try:
        if task == "minegan":
            minegan.make_miner(source.generator)
            return (
                source.generator,
                lambda params, z, class_ids: minegan.mine(source, params, z),
                minegan.group_of,
            )
        return (
            cgantransfer.generator(source, num_classes),
            lambda params, z, class_ids: {"z": z, "class_ids": class_ids},
            cgantransfer.group_of,
        )
    except ValueError as error:
        raise UserError(f"config.backbone.gan: {error}") from error
