"""Task: MineGAN (arXiv 1912.05270) from a BigGAN, as in yaxingwang/MineGAN.

First a miner learns which latents and embeddings the source generator turns into the new images,
then miner and generator train together. The discriminator has no class input and trains throughout.
As released, the loss is the non-saturating one, and the generator normalizes by its
batches in both stages.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from vpt_gen.methods.record import Drawing, GanMethod
from vpt_gen.nets.biggan import (
    BigGAN,
    Generator,
    run,
)
from vpt_gen.nets.cgantransfer import init_discriminator
from vpt_gen.nets.minegan import Miner
from vpt_gen.ranges import UpdatesOrZero
from vpt_gen.training.adversarial import DISCRIMINATOR, Adversaries
from vpt_gen.training.adversarial_task import (
    GENERATOR,
    calls,
    make_adversarial_task,
)
from vpt_gen.training.state import Params, Task

MINER = "miner"
GROUPS = (MINER, GENERATOR)
# Name of its images' class if it is trained on several classes.
NO_CLASS = "no class"


def make_miner(source: Generator) -> Miner:
    """Makes the miner of a source.

    Raises:
      ValueError: a source without a shared class embedding, which the miner replaces.
    """
    if not source.shared:
        raise ValueError("MineGAN needs a source with a shared embedding of the class.")
    return Miner(source.latent_size, source.shared_size, source.sn_epsilon)


def group_of(path: tuple[str, ...]) -> str | None:
    """Returns the group of a parameter; the source's unused table of classes has none."""
    net, collection, module, *_ = path
    return net if collection == "params" and module != "shared" else None


def make_adversaries(
    source: BigGAN, optimizers: Mapping[str, optax.GradientTransformation], **options
) -> Adversaries:
    """Makes the adversaries: miner and generator against the discriminator.

    Args:
      source: the source's nets.
      optimizers: of `GROUPS` and the discriminator.
      options: `loss`, `steps`, `accumulations` and `orthogonal` of `Adversaries`.
    """
    miner = make_miner(source.generator)

    def generate(variables: Params, z: jax.Array, class_ids: jax.Array):
        del class_ids
        (z, embedding), mined = run(miner, variables[MINER], z)
        images, moved = run(source.generator, variables[GENERATOR], z, embedding=embedding)
        return images, {**variables, MINER: mined, GENERATOR: moved}

    _, discriminate = calls(source.generator, source.discriminator_of(0))
    return Adversaries(generate, discriminate, optimizers, group_of, **options)


def mine(source: BigGAN, params: Params, z: jax.Array) -> dict[str, jax.Array]:
    """Returns the trained generator's inputs: mined latents and embeddings.

    Args:
      source: the source's nets.
      params: of the task.
      z: (B, latent size).
    """
    mined: Any = make_miner(source.generator).apply(params[MINER], z)
    z, embedding = mined
    return {"z": z, "embedding": embedding}


def make_task(
    source: BigGAN,
    source_params: Params,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    miner_steps: int,
    **options,
) -> Task:
    """Builds the task.

    Args:
      source: the source's nets.
      source_params: their variables, {"generator": ..., "discriminator": ...}.
      optimizers: of `GROUPS` and the discriminator.
      miner_steps: updates of the first stage.
      options: of `make_adversaries`.
    """
    judge, latent_size = source.discriminator_of(0), source.generator.latent_size

    def init(source_params: Params, key: jax.Array) -> Params:
        miner = make_miner(source.generator)
        return {
            MINER: dict(miner.init(key, jnp.zeros((1, latent_size)))),
            GENERATOR: source_params[GENERATOR],
            DISCRIMINATOR: init_discriminator(judge, source_params[DISCRIMINATOR], key),
        }

    def generate(params: Params, z: jax.Array, class_ids: jax.Array) -> jax.Array:
        del class_ids
        inputs: dict[str, Any] = mine(source, params, z)
        return cast(jax.Array, source.generator.apply(params[GENERATOR], **inputs))

    return make_adversarial_task(
        make_adversaries(source, optimizers, **options),
        judge,
        Partial(init, source_params),
        generate,
        latent_size=latent_size,
        num_classes=0,
        training=lambda step: {MINER: True, GENERATOR: step >= miner_steps},
    )


@dataclasses.dataclass(frozen=True)
class MineGAN(GanMethod):
    """`config.task = "minegan"`."""

    # Updates in which the miner trains and the generator does not (as released).
    miner_steps: UpdatesOrZero = 299

    name = "minegan"
    group = "minegan"
    first_stage = "miner_steps"
    adversarial_loss = "non-saturating"
    groups = GROUPS

    def sentence(self, what: str) -> str:
        del what
        return (
            f"A miner of latents for a BigGAN, and after {self.miner_steps:,} updates the BigGAN "
            "itself, trained (MineGAN)"
        )

    def class_names(self, of_data: Sequence[str]) -> list[str]:
        """Returns one class for all training images, as the miner has no class input."""
        return [NO_CLASS] if len(of_data) > 1 else list(of_data)

    def make_task(self, source, source_params, num_classes, optimizers, **options) -> Task:
        del num_classes
        return make_task(source, source_params, optimizers, miner_steps=self.miner_steps, **options)

    def drawing(self, source: BigGAN, num_classes: int) -> Drawing:
        make_miner(source.generator)
        return Drawing(
            source.generator, lambda params, z, class_ids: mine(source, params, z), group_of
        )
