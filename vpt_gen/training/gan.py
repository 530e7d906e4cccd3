"""Task: train BigGAN, the source of the GAN methods (arXiv 1809.11096).

As in ajbrock/BigGAN-PyTorch: an average of the generator over the updates is what is used
afterwards; it takes in everything that the generator holds, also its statistics.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from vpt_gen.nets.biggan import BigGAN, Discriminator, Generator, run
from vpt_gen.training import losses
from vpt_gen.training.adversarial import DISCRIMINATOR, Adversaries, draw, moving_average
from vpt_gen.training.state import Batch, Metrics, Params, Task, TrainState

NUM_PICTURES = 64
GENERATOR = "generator"
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
      average_decay: share of the average that stays in an update.
      average_start: update up to which the average is the generator itself.
      options: `loss`, `steps`, `accumulations` and `orthogonal` of `Adversaries`.
    """
    adversaries = Adversaries(
        *calls(net.generator, net.discriminator), optimizers, group_of, **options
    )

    def init(key: jax.Array) -> TrainState:
        variables = net.init(key)
        opt_state = adversaries.init_optimizers(variables)
        params = {**variables, AVERAGE: variables[GENERATOR]}
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        del frozen
        params = dict(state.params)
        average = params.pop(AVERAGE)
        draws = draw(
            key, adversaries, len(batch["label"]), net.generator.latent_size, net.num_classes
        )
        params, opt_state, metrics = adversaries.update(
            params, state.opt_state, batch["image"], batch["label"], draws, {GENERATOR: True}
        )
        step = state.step + 1
        decay = jnp.where(step < average_start, 0.0, average_decay)
        average = moving_average(average, params[GENERATOR], decay)
        return TrainState(step, {**params, AVERAGE: average}, opt_state), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del frozen, key
        return judge_real(net.discriminator, params, batch, adversaries.loss)

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del frozen, batch
        return class_pictures(net.generator, params[AVERAGE], key)

    return Task(init, train_step, eval_step, pictures, {})


def group_of(path: tuple[str, ...]) -> str | None:
    """The group of a parameter: its net, but for the average, which does not train."""
    net, collection, *_ = path
    return net if collection == "params" and net != AVERAGE else None


def calls(generator: Generator, discriminator: Discriminator):
    """`Adversaries.generate` and `.discriminate` of two nets."""

    def generate(variables: Params, z: jax.Array, class_ids: jax.Array):
        images, moved = run(generator, variables[GENERATOR], z, class_ids)
        return images, {**variables, GENERATOR: moved}

    def discriminate(variables: Params, images: jax.Array, class_ids: jax.Array):
        logits, moved = run(discriminator, variables[DISCRIMINATOR], images, class_ids)
        return logits, {**variables, DISCRIMINATOR: moved}

    return generate, discriminate


def judge_real(net: Discriminator, params: Params, batch: Batch, loss: str) -> Metrics:
    """The discriminator's loss (B,) on real images: on new ones it rises as it learns by heart."""
    logits = net.apply(params[DISCRIMINATOR], batch["image"], batch["label"])
    of_real = jax.vmap(lambda logit: losses.discriminator_losses(logit, logit, loss)[0])
    return {"discriminator_real": of_real(logits)}


def class_pictures(net: Generator, variables: Params, key: jax.Array) -> dict[str, jax.Array]:
    """Images of all classes in turn."""
    z = jax.random.normal(key, (NUM_PICTURES, net.latent_size))
    return {"samples": net.apply(variables, z, jnp.arange(NUM_PICTURES) % net.num_classes)}


def exported(params: Params) -> Params:
    """What a pretrained net holds: the generator's average, and the discriminator."""
    return {GENERATOR: params[AVERAGE], DISCRIMINATOR: params[DISCRIMINATOR]}
