"""Task: cGANTransfer (arXiv 2102.06696) from a BigGAN, as in mshahbazi72/cGANTransfer.

First the new classes' normalizations train, as combinations of the source's classes (stage BN of
the release), then all of the generator except the scores and the source's knowledge (FT). The
discriminator trains throughout, with a new table of classes. Adam's state is kept between stages.
"""

import dataclasses
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from vpt_gen.methods.record import Drawing, GanMethod
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.cgantransfer import (
    TransferGenerator,
    init_discriminator,
    init_generator,
    transfer_generator,
)
from vpt_gen.ranges import NotNegative, UpdatesOrZero
from vpt_gen.training.adversarial import DISCRIMINATOR, Adversaries
from vpt_gen.training.adversarial_task import (
    GENERATOR,
    calls,
    make_adversarial_task,
)
from vpt_gen.training.state import Params, Task

# Groups of the generator's parameters: those that train in the first stage, in both, in the second.
SCORES, RESIDUALS = "scores", "residuals"
GROUPS = (SCORES, RESIDUALS, GENERATOR)
_LAYERS = {
    "comb_layer": SCORES,
    "prev_knowledge": SCORES,
    "res": RESIDUALS,
    "z_layer": RESIDUALS,
}


def group_of(path: tuple[str, ...]) -> str | None:
    """Returns the group of a parameter."""
    net, collection, *modules, _ = path
    if collection != "params":
        return None
    layer = modules[-1].rpartition("_")[0] if modules else ""
    return _LAYERS.get(layer, GENERATOR) if net == GENERATOR else net


def penalties(params: Params, scores_l1: float, residuals_l2: float) -> jax.Array:
    """Returns a term of the generator's loss: the mean of |x| or x^2 per tensor, summed."""
    total = jnp.zeros(())
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "/comb_layer" in name:
            total += scores_l1 * jnp.abs(x).mean()
        if "/res_" in name:
            total += residuals_l2 * (x**2).mean()
    return total


def make_adversaries(
    source: BigGAN,
    num_classes: int,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    scores_l1: float,
    residuals_l2: float,
    **options,
) -> Adversaries:
    """Makes the new generator and discriminator in training.

    Args:
      source: the source's nets.
      num_classes: new classes.
      optimizers: of `GROUPS` and the discriminator.
      scores_l1: of the scores' penalty.
      residuals_l2: of the residuals' penalty.
      options: `loss`, `steps`, `accumulations` and `orthogonal` of `Adversaries`.
    """
    return Adversaries(
        *calls(generator(source, num_classes), source.discriminator_of(num_classes)),
        optimizers,
        group_of,
        penalty=lambda v: penalties(v[GENERATOR]["params"], scores_l1, residuals_l2),
        **options,
    )


def generator(source: BigGAN, num_classes: int) -> TransferGenerator:
    """Returns the generator of new classes."""
    return transfer_generator(source.generator, num_classes)


def make_task(
    source: BigGAN,
    source_params: Params,
    num_classes: int,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    norm_steps: int,
    **options,
) -> Task:
    """Builds the task.

    Args:
      source: the source's nets.
      source_params: their variables, {"generator": ..., "discriminator": ...}.
      num_classes: new classes.
      optimizers: of `GROUPS` and the discriminator.
      norm_steps: updates of the first stage.
      options: of `make_adversaries`.
    """
    net, judge = generator(source, num_classes), source.discriminator_of(num_classes)

    def init(source_params: Params, key: jax.Array) -> Params:
        keys = jax.random.split(key)
        return {
            GENERATOR: init_generator(net, source_params[GENERATOR], keys[0]),
            DISCRIMINATOR: init_discriminator(judge, source_params[DISCRIMINATOR], keys[1]),
        }

    def generate(params: Params, z: jax.Array, class_ids: jax.Array) -> jax.Array:
        return cast(jax.Array, net.apply(params[GENERATOR], z, class_ids))

    def training(step: jax.Array) -> dict[str, bool | jax.Array]:
        first = step < norm_steps
        return {SCORES: first, RESIDUALS: True, GENERATOR: ~first}

    return make_adversarial_task(
        make_adversaries(source, num_classes, optimizers, **options),
        judge,
        Partial(init, source_params),
        generate,
        latent_size=net.latent_size,
        num_classes=num_classes,
        training=training,
    )


@dataclasses.dataclass(frozen=True)
class CGANTransfer(GanMethod):
    """`config.task = "cgantransfer"`; the release has the penalties but no numbers of updates."""

    # Updates of the new classes' normalizations, before the rest of the generator trains.
    norm_steps: UpdatesOrZero = 500
    # Cost of the scores' mean absolute values, and of the residuals' mean squares.
    scores_l1: NotNegative = 0.01
    residuals_l2: NotNegative = 0.1

    name = "cgantransfer"
    group = "cgantransfer"
    first_stage = "norm_steps"
    adversarial_loss = "hinge"
    groups = GROUPS

    def sentence(self, what: str) -> str:
        del what
        return (
            "Normalizations that combine those of a BigGAN's classes, and after "
            f"{self.norm_steps:,} updates the BigGAN itself, trained (cGANTransfer)"
        )

    def make_task(self, source, source_params, num_classes, optimizers, **options) -> Task:
        return make_task(
            source,
            source_params,
            num_classes,
            optimizers,
            norm_steps=self.norm_steps,
            scores_l1=self.scores_l1,
            residuals_l2=self.residuals_l2,
            **options,
        )

    def drawing(self, source: BigGAN, num_classes: int) -> Drawing:
        return Drawing(
            generator(source, num_classes),
            lambda params, z, class_ids: {"z": z, "class_ids": class_ids},
            group_of,
        )
