"""One update of a generator and a discriminator against each other, as in BigGAN's trainer.

Source: ajbrock/BigGAN-PyTorch `train_fns.py`, which cGANTransfer and MineGAN share. The
discriminator steps first; each step accumulates the gradients of several parts of the batch, so
that batch normalization sees one part at a time. Every call of a net updates its running statistics
and its spectral norms' state, no matter which net the step trains.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from vpt_gen.nets.layout import named
from vpt_gen.training import losses
from vpt_gen.training.parts import scan_convolutions
from vpt_gen.training.state import Params

LOSSES = ("hinge", "non-saturating")
DISCRIMINATOR = "discriminator"


@flax.struct.dataclass
class Draws:
    """Inputs of the generator in an update: one part for each time it is run.

    Attributes:
      z: (parts, b, latent size).
      class_ids: (parts, b).
    """

    z: jax.Array
    class_ids: jax.Array


@dataclasses.dataclass(frozen=True)
class Adversaries:
    """Two nets that train against each other, as pure functions of their variables.

    Variables are {"generator": ..., "discriminator": ..., ...}, each with all its collections.

    Attributes:
      generate: (variables, z, class_ids) -> images, and the updated variables.
      discriminate: (variables, images, class_ids) -> logits, and the updated variables.
      optimizers: name of a group of parameters -> its optimizer; `DISCRIMINATOR` is one of them.
      group_of: path of a parameter -> its group, or None if it never trains.
      loss: one of `LOSSES`.
      steps: updates of the discriminator for each of the generator.
      accumulations: parts whose gradients are averaged for one update.
      penalty: variables -> a term of the generator's loss.
      orthogonal: group -> strength of the orthogonal regularization; 0 or missing for none.
    """

    generate: Callable[..., tuple[jax.Array, Params]]
    discriminate: Callable[..., tuple[jax.Array, Params]]
    optimizers: Mapping[str, optax.GradientTransformation]
    group_of: Callable[[tuple[str, ...]], str | None]
    loss: str = "hinge"
    steps: int = 1
    accumulations: int = 1
    penalty: Callable[[Params], jax.Array] = lambda variables: jnp.zeros(())
    orthogonal: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def num_parts(self) -> int:
        """Number of times that the generator is run in an update."""
        return (self.steps + 1) * self.accumulations

    def init_optimizers(self, variables: Params) -> dict[str, Any]:
        """Initializes the optimizers' states, each for its own group only."""
        return {
            name: optimizer.init(self.take(variables, name))
            for name, optimizer in self.optimizers.items()
        }

    def take(self, variables: Params, group: str) -> Params:
        """Selects the parameters of a group, as a part of the tree."""
        flat = traverse_util.flatten_dict(variables)
        return traverse_util.unflatten_dict(
            {path: leaf for path, leaf in flat.items() if self.group_of(path) == group}
        )

    def update(
        self,
        variables: Params,
        opt_state: Mapping[str, Any],
        images: jax.Array,
        class_ids: jax.Array,
        draws: Draws,
        training: Mapping[str, bool | jax.Array],
    ) -> tuple[Params, dict[str, Any], dict[str, jax.Array]]:
        """Takes the discriminator's steps, and one step of the generator.

        Args:
          variables: of all nets.
          opt_state: of `init_optimizers`.
          images: real ones, (steps * accumulations * b, R, R, 3) in [0, 1].
          class_ids: theirs.
          draws: `num_parts` parts of b latents, the discriminator's first.
          training: group on the generator's side -> whether it trains now. A group that does not
            train keeps its parameters and optimizer state; its gradient is computed and dropped,
            because a branch in the program would cost more (see `parts.scan_convolutions`). For a
            group that is not named no gradient is computed.

        Returns:
          The next variables and optimizers' states, and the losses of the last parts.
        """
        states, parts = dict(opt_state), self.steps * self.accumulations
        real = {
            "images": named(images.reshape(parts, -1, *images.shape[1:]), None, "batch"),
            "class_ids": named(class_ids.reshape(parts, -1), None, "batch"),
        }
        metrics: dict[str, jax.Array] = {}
        for step in range(self.steps):
            rows = slice(step * self.accumulations, (step + 1) * self.accumulations)
            part = jax.tree.map(lambda x, rows=rows: x[rows], (draws, real))
            variables, states, found = self._step(
                variables, states, {DISCRIMINATOR: True}, self._discriminator_loss, part
            )
            metrics |= found
        part = jax.tree.map(lambda x: x[parts:], draws)
        variables, states, found = self._step(
            variables, states, training, self._generator_loss, (part,)
        )
        return variables, states, metrics | found

    def _step(self, variables, opt_state, training, loss, parts):
        """Updates some groups by the mean of the parts' gradients."""
        trained = {group: self.take(variables, group) for group in training}

        def add_part(carry, part):
            variables, total = carry
            objective = jax.value_and_grad(loss, has_aux=True)
            (_, (variables, metrics)), gradients = objective(trained, variables, *part)
            return (variables, jax.tree.map(jnp.add, total, gradients)), metrics

        zeros = jax.tree.map(jnp.zeros_like, trained)
        (variables, gradients), metrics = scan_convolutions(add_part, (variables, zeros), parts)
        gradients = jax.tree.map(lambda g: g / self.accumulations, gradients)
        for group, trains in training.items():
            gradient = gradients[group]
            if strength := self.orthogonal.get(group, 0.0):
                added = orthogonal_gradient(trained[group], strength)
                gradient = jax.tree.map(jnp.add, gradient, added)
            updates, state = self.optimizers[group].update(
                gradient, opt_state[group], trained[group]
            )
            after = optax.apply_updates(trained[group], updates), state
            if trains is not True:
                before = trained[group], opt_state[group]
                after = jax.tree.map(functools.partial(jnp.where, trains), after, before)
            variables = merge(variables, after[0])
            opt_state = {**opt_state, group: after[1]}
        return variables, opt_state, jax.tree.map(lambda x: x[-1], metrics)

    def _discriminator_loss(self, trained, variables, draws: Draws, real):
        fake, variables = self.generate(variables, draws.z, draws.class_ids)
        judged = merge(variables, trained[DISCRIMINATOR])
        logits, moved = self.discriminate(
            judged,
            jnp.concatenate([jax.lax.stop_gradient(fake), real["images"]]),
            jnp.concatenate([draws.class_ids, real["class_ids"]]),
        )
        fake_logits, real_logits = jnp.split(logits, [len(fake)])
        of_real, of_fake = losses.discriminator_losses(real_logits, fake_logits, self.loss)
        metrics = {"discriminator_real": of_real, "discriminator_fake": of_fake}
        return of_real + of_fake, (moved, metrics)

    def _generator_loss(self, trained, variables, draws: Draws):
        for part in trained.values():
            variables = merge(variables, part)
        penalty = self.penalty(variables)
        fake, variables = self.generate(variables, draws.z, draws.class_ids)
        logits, variables = self.discriminate(variables, fake, draws.class_ids)
        loss = losses.generator_loss(logits, self.loss) + penalty
        return loss, (variables, {"loss": loss})


def draw(
    key: jax.Array, adversaries: Adversaries, batch_size: int, latent_size: int, num_classes: int
) -> Draws:
    """Draws normal latents and uniform classes for an update on a batch of real images."""
    z_key, class_key = jax.random.split(key)
    size = batch_size // (adversaries.steps * adversaries.accumulations)
    shape = (adversaries.num_parts, size)
    z = jax.random.normal(z_key, (*shape, latent_size))
    class_ids = jax.random.randint(class_key, shape, 0, max(num_classes, 1))
    return Draws(named(z, None, "batch"), named(class_ids, None, "batch"))


def merge(tree: Params, part: Params) -> Params:
    """Replaces leaves of a tree by those of a part of it."""
    flat = traverse_util.flatten_dict(tree) | traverse_util.flatten_dict(part)
    return traverse_util.unflatten_dict(flat)


def orthogonal_gradient(params: Params, strength: float) -> Params:
    """Returns the gradient of BigGAN's orthogonal regularization: 2 s ((W W^T) * (1 - I)) W.

    W is a weight as torch stores it, (out, rest). Vectors and the shared table of classes are not
    regularized and get 0.

    Args:
      params: the parameters.
      strength: s.
    """

    def added(path, weight: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if weight.ndim < 2 or name.endswith("shared/embedding"):
            return jnp.zeros_like(weight)
        out_axis = 0 if name.endswith("embedding") else -1
        moved = jnp.moveaxis(weight, out_axis, 0)
        matrix = moved.reshape(len(moved), -1)
        products = matrix @ matrix.T * (1.0 - jnp.eye(len(matrix), dtype=matrix.dtype))
        gradient = 2.0 * strength * (products @ matrix)
        return jnp.moveaxis(gradient.reshape(moved.shape), 0, out_axis)

    return jax.tree_util.tree_map_with_path(added, params)


def moving_average(average: Params, current: Params, decay: jax.Array | float) -> Params:
    """Returns decay * average + (1 - decay) * current for every leaf."""
    return jax.tree.map(lambda a, c: decay * a + (1.0 - decay) * c, average, current)
