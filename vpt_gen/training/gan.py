"""Task: train BigGAN, the source of the GAN methods (arXiv 1809.11096).

As in ajbrock/BigGAN-PyTorch: an average of the generator over the updates is what is used
afterwards; it takes in everything that the generator holds, also its statistics.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from vpt_gen.nets.biggan import BigGAN, run
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
    loss: str = "hinge",
    discriminator_steps: int = 1,
    accumulations: int = 1,
    orthogonal: Mapping[str, float] | None = None,
    ema_decay: float = 0.9999,
    ema_start: int = 20000,
) -> Task:
    """Builds the BigGAN task; its state holds both nets and the average of the generator.

    Args:
      net: both nets.
      optimizers: of "generator" and "discriminator".
      loss: 'hinge' or 'non-saturating'.
      discriminator_steps: of the discriminator in an update.
      accumulations: parts of a step's batch whose gradients are averaged.
      orthogonal: strength of the orthogonal regularisation of either.
      ema_decay: share of the average that stays in an update.
      ema_start: update up to which the average is the generator itself.
    """
    adversaries = Adversaries(
        *calls(net),
        optimizers,
        lambda path: path[0] if path[0] in optimizers and path[1] == "params" else None,
        loss,
        discriminator_steps,
        accumulations,
        orthogonal=orthogonal or {},
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
        size = len(batch["label"]) // (discriminator_steps * accumulations)
        draws = draw(key, adversaries.num_parts, size, net.generator.latent_size, net.num_classes)
        params, opt_state, metrics = adversaries.update(
            params, state.opt_state, batch["image"], batch["label"], draws
        )
        step = state.step + 1
        decay = jnp.where(step < ema_start, 0.0, ema_decay)
        average = moving_average(average, params[GENERATOR], decay)
        return TrainState(step, {**params, AVERAGE: average}, opt_state), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del frozen, key
        return judge_real(net, params, batch, loss)

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del frozen, batch
        z = jax.random.normal(key, (NUM_PICTURES, net.generator.latent_size))
        class_ids = jnp.arange(NUM_PICTURES) % net.num_classes
        return {"samples": net.generator.apply(params[AVERAGE], z, class_ids)}

    return Task(init, train_step, eval_step, pictures, {})


def calls(net: BigGAN):
    """`Adversaries.generate` and `.discriminate` of a BigGAN."""

    def generate(variables: Params, z: jax.Array, class_ids: jax.Array):
        images, moved = run(net.generator, variables[GENERATOR], z, class_ids)
        return images, {**variables, GENERATOR: moved}

    def discriminate(variables: Params, images: jax.Array, class_ids: jax.Array):
        logits, moved = run(net.discriminator, variables[DISCRIMINATOR], images, class_ids)
        return logits, {**variables, DISCRIMINATOR: moved}

    return generate, discriminate


def judge_real(net: BigGAN, params: Params, batch: Batch, loss: str) -> Metrics:
    """The discriminator's loss (B,) on real images: on new ones it rises as it learns by heart."""
    logits = net.discriminator.apply(params[DISCRIMINATOR], batch["image"], batch["label"])
    of_real = jax.vmap(lambda logit: losses.discriminator_losses(logit, logit, loss)[0])
    return {"discriminator_real": of_real(logits)}


def exported(params: Params) -> Params:
    """What a pretrained net holds: the generator's average, and the discriminator."""
    return {GENERATOR: params[AVERAGE], DISCRIMINATOR: params[DISCRIMINATOR]}
