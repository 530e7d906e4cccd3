"""A moving average of the parameters over the updates, which is evaluated and exported."""

import dataclasses

import jax
import jax.numpy as jnp

from vpt_gen.training.state import (
    Params,
    Task,
    TrainState,
)


def averaged(task: Task, decay: float) -> Task:
    """Wraps a task: its parameters become {"trained": ..., "average": ...}.

    Args:
      task: trains all of its parameters.
      decay: weight of the old average in an update, in [0, 1); lower in the first updates,
        (1 + t) / (10 + t), so that the initial parameters fade.
    """

    def init(key: jax.Array) -> TrainState:
        state = task.init(key)
        return state.replace(params={"trained": state.params, "average": state.params})

    def train_step(state: TrainState, frozen: Params, batch, key: jax.Array):
        average = state.params["average"]
        state, metrics = task.train_step(
            state.replace(params=state.params["trained"]), frozen, batch, key
        )
        stays = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda a, p: stays * a + (1.0 - stays) * p, average, state.params)
        return state.replace(params={"trained": state.params, "average": average}), metrics

    def of_average(function):
        return lambda params, *rest: function(params["average"], *rest)

    return dataclasses.replace(
        task,
        init=init,
        train_step=train_step,
        eval_step=of_average(task.eval_step),
        pictures=of_average(task.pictures),
    )
