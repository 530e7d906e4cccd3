"""Task: train BigGAN, the source of the GAN methods (arXiv 1809.11096).

As in ajbrock/BigGAN-PyTorch, an average of the generator over the updates is used after training.
It includes everything in the generator's variables, also the statistics.
"""

import dataclasses
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp
import optax

from vpt_gen.nets.biggan import BigGAN
from vpt_gen.training.adversarial import (
    DISCRIMINATOR,
    Adversaries,
    moving_average,
)
from vpt_gen.training.adversarial_task import (
    GENERATOR,
    calls,
    make_adversarial_task,
)
from vpt_gen.training.state import (
    Batch,
    Params,
    Task,
    TrainState,
)

AVERAGE = "generator_average"


def make_task(
    net: BigGAN,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    average_decay: float = 0.9999,
    average_start: int = 20000,
    **options,
) -> Task:
    """Builds the BigGAN task; its state holds both nets and the average of the generator.

    Args:
      net: both nets.
      optimizers: of "generator" and "discriminator".
      average_decay: weight of the old average in an update.
      average_start: update until which the average is a copy of the generator.
      options: `loss`, `steps`, `accumulations` and `orthogonal` of `Adversaries`.
    """
    adversaries = Adversaries(
        *calls(net.generator, net.discriminator), optimizers, group_of, **options
    )

    def init(key: jax.Array) -> Params:
        variables = net.init(key)
        return {**variables, AVERAGE: variables[GENERATOR]}

    def generate(params: Params, z: jax.Array, class_ids: jax.Array) -> jax.Array:
        return cast(jax.Array, net.generator.apply(params[AVERAGE], z, class_ids))

    task = make_adversarial_task(
        adversaries,
        net.discriminator,
        init,
        generate,
        latent_size=net.generator.latent_size,
        num_classes=net.num_classes,
        training=lambda step: {GENERATOR: True},
    )

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        params = dict(state.params)
        average = params.pop(AVERAGE)
        state, metrics = task.train_step(state.replace(params=params), frozen, batch, key)
        decay = jnp.where(state.step < average_start, 0.0, average_decay)
        average = moving_average(average, state.params[GENERATOR], decay)
        return state.replace(params={**state.params, AVERAGE: average}), metrics

    return dataclasses.replace(task, train_step=train_step)


def group_of(path: tuple[str, ...]) -> str | None:
    """Returns the group of a parameter: its net, or None for the average, which does not train."""
    net, collection, *_ = path
    return net if collection == "params" and net != AVERAGE else None


def exported(params: Params) -> Params:
    """Returns the parameters to export: the generator's average, and the discriminator."""
    return {GENERATOR: params[AVERAGE], DISCRIMINATOR: params[DISCRIMINATOR]}
