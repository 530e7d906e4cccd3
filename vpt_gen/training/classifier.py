"""Task: train a classifier of a source's images, whose features serve metrics and losses."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from vpt_gen.nets.classifier import Classifier
from vpt_gen.training.state import (
    Batch,
    Metrics,
    Params,
    Task,
    TrainState,
    apply_gradients,
)

NUM_PICTURES = 16


def make_task(
    net: Classifier,
    optimizer: optax.GradientTransformation,
    *,
    image_size: int,
    label_smoothing: float,
    start: Params | None = None,
) -> Task:
    """Builds the classification task, whose parameters are all variables of the net.

    Args:
      net: the classifier.
      optimizer: for all of its parameters.
      image_size: side of the square training images.
      label_smoothing: eps; the target distribution is onehot * (1 - eps) + eps / C.
      start: the first variables, as `net` has them; None for random ones.
    """

    def init(variables: Params | None, key: jax.Array) -> TrainState:
        if variables is None:
            variables = net.init(key, jnp.zeros((1, image_size, image_size, 3)))
        opt_state = optimizer.init(variables["params"])
        return TrainState(jnp.zeros((), jnp.int32), dict(variables), opt_state)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        del frozen, key
        targets = optax.smooth_labels(
            jax.nn.one_hot(batch["label"], net.num_classes), label_smoothing
        )

        def objective(params):
            logits, updated = net.apply(
                {**state.params, "params": params},
                batch["image"],
                train=True,
                mutable=["batch_stats"],
            )
            return optax.softmax_cross_entropy(logits, targets).mean(), (logits, updated)

        params = state.params["params"]
        (loss, (logits, updated)), gradients = jax.value_and_grad(objective, has_aux=True)(params)
        metrics = {
            "loss": loss,
            "accuracy": (logits.argmax(-1) == batch["label"]).mean(),
            "gradient_norm": optax.global_norm(gradients),
        }
        new = apply_gradients(state.replace(params=params), gradients, optimizer)
        return new.replace(params={"params": new.params, **updated}), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del frozen, key
        logits: Any = net.apply(params, batch["image"])
        return {
            "loss": optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]),
            "accuracy": (logits.argmax(-1) == batch["label"]).astype(jnp.float32),
        }

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del params, frozen, key
        return {"images": batch["image"][:NUM_PICTURES]}

    # Large arrays are arguments of compiled functions, not constants in them.
    return Task(jax.tree_util.Partial(init, start), train_step, eval_step, pictures, {})
