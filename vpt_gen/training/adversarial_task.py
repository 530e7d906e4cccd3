"""What the tasks of GANs share: a generator and a discriminator in the loop."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vpt_gen.nets.biggan import (
    Discriminator,
    Generator,
    run,
)
from vpt_gen.training import losses
from vpt_gen.training.adversarial import (
    DISCRIMINATOR,
    Adversaries,
    draw,
)
from vpt_gen.training.state import (
    Batch,
    Metrics,
    Params,
    Task,
    TrainState,
    as_partial,
)

NUM_PICTURES = 64
GENERATOR = "generator"


def make_adversarial_task(
    adversaries: Adversaries,
    discriminator: Discriminator,
    init: Callable[[jax.Array], Params],
    generate: Callable[[Params, jax.Array, jax.Array], jax.Array],
    *,
    latent_size: int,
    num_classes: int,
    training: Callable[[jax.Array], Mapping[str, bool | jax.Array]],
) -> Task:
    """Builds a task whose state holds the variables of all nets.

    Args:
      adversaries: the nets in training.
      discriminator: one of them; evaluation is its loss on real images, which rises on held-out
        ones when it overfits.
      init: key -> variables; a `Partial` if it starts from others.
      generate: (variables, z, class_ids) -> images, as drawn after training.
      latent_size: of z.
      num_classes: number of classes to draw class_ids from; 0 for a generator without classes.
      training: updates done -> `Adversaries.update`'s `training`.
    """

    def first_state(init: Callable[[jax.Array], Params], key: jax.Array) -> TrainState:
        params = init(key)
        opt_state = adversaries.init_optimizers(params)
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        del frozen
        draws = draw(key, adversaries, len(batch["label"]), latent_size, num_classes)
        params, opt_state, metrics = adversaries.update(
            state.params,
            state.opt_state,
            batch["image"],
            batch["label"],
            draws,
            training(state.step),
        )
        return TrainState(state.step + 1, params, opt_state), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del frozen, key
        logits = discriminator.apply(params[DISCRIMINATOR], batch["image"], batch["label"])
        of_real = jax.vmap(
            lambda logit: losses.discriminator_losses(logit, logit, adversaries.loss)[0]
        )
        return {"discriminator_real": of_real(logits)}

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del frozen, batch
        z = jax.random.normal(key, (NUM_PICTURES, latent_size))
        return {"samples": generate(params, z, jnp.arange(NUM_PICTURES) % max(num_classes, 1))}

    first = Partial(first_state, as_partial(init))
    return Task(first, train_step, eval_step, pictures, {})


def calls(
    generator: Generator, discriminator: Discriminator
) -> tuple[Callable[..., tuple[jax.Array, Params]], Callable[..., tuple[jax.Array, Params]]]:
    """Returns `Adversaries.generate` and `.discriminate` of two nets."""

    def generate(variables: Params, z: jax.Array, class_ids: jax.Array):
        images, moved = run(generator, variables[GENERATOR], z, class_ids)
        return images, {**variables, GENERATOR: moved}

    def discriminate(variables: Params, images: jax.Array, class_ids: jax.Array):
        logits, moved = run(discriminator, variables[DISCRIMINATOR], images, class_ids)
        return logits, {**variables, DISCRIMINATOR: moved}

    return generate, discriminate
