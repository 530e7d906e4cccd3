"""Task: MineGAN (arXiv 1912.05270) from a BigGAN, as in yaxingwang/MineGAN.

First a miner learns which latents and embeddings the source generator turns into the new images,
then miner and generator learn together. The discriminator, which is told no class, trains
throughout. As released, the loss is the non-saturating one, and the generator normalises by its
batches in both stages.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from vpt_gen.nets.biggan import BigGAN, Generator, run
from vpt_gen.nets.cgantransfer import init_discriminator
from vpt_gen.nets.minegan import Miner
from vpt_gen.training.adversarial import Adversaries, draw
from vpt_gen.training.gan import (
    DISCRIMINATOR,
    GENERATOR,
    NUM_PICTURES,
    calls,
    judge_real,
)
from vpt_gen.training.state import Batch, Metrics, Params, Task, TrainState

MINER = "miner"
GROUPS = (MINER, GENERATOR)


def make_miner(source: Generator) -> Miner:
    """The miner of a source.

    Raises:
      ValueError: a source whose classes have no embedding that a miner could make.
    """
    if not source.shared:
        raise ValueError("MineGAN needs a source with a shared embedding of the class.")
    return Miner(source.latent_size, source.shared_size, source.sn_epsilon)


def group_of(path: tuple[str, ...]) -> str | None:
    """The group of a parameter; the source's table of classes, which nothing reads, has none."""
    net, collection, module, *_ = path
    return net if collection == "params" and module != "shared" else None


def make_adversaries(
    source: BigGAN, optimizers: Mapping[str, optax.GradientTransformation], **options
) -> Adversaries:
    """Miner and generator against the discriminator.

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

    _, discriminate = calls(source.generator, discriminator(source))
    return Adversaries(generate, discriminate, optimizers, group_of, **options)


def discriminator(source: BigGAN):
    """The source's discriminator, without classes."""
    return source.discriminator.clone(num_classes=0)


def mine(source: BigGAN, params: Params, z: jax.Array) -> jax.Array:
    """Images (B, R, R, 3) of latents (B, latent size), as they are drawn after training."""
    z, embedding = make_miner(source.generator).apply(params[MINER], z)
    return source.generator.apply(params[GENERATOR], z, embedding=embedding)


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
    adversaries = make_adversaries(source, optimizers, **options)
    judge, latent_size = discriminator(source), source.generator.latent_size

    def init(source_params: Params, key: jax.Array) -> TrainState:
        miner = make_miner(source.generator)
        params = {
            MINER: dict(miner.init(key, jnp.zeros((1, latent_size)))),
            GENERATOR: source_params[GENERATOR],
            DISCRIMINATOR: init_discriminator(judge, source_params[DISCRIMINATOR], key),
        }
        opt_state = adversaries.init_optimizers(params)
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        del frozen
        draws = draw(key, adversaries, len(batch["label"]), latent_size, 0)
        params, opt_state, metrics = adversaries.update(
            state.params,
            state.opt_state,
            batch["image"],
            batch["label"],
            draws,
            {MINER: True, GENERATOR: state.step >= miner_steps},
        )
        return TrainState(state.step + 1, params, opt_state), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del frozen, key
        return judge_real(judge, params, batch, adversaries.loss)

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del frozen, batch
        z = jax.random.normal(key, (NUM_PICTURES, latent_size))
        return {"samples": mine(source, params, z)}

    return Task(jax.tree_util.Partial(init, source_params), train_step, eval_step, pictures, {})
