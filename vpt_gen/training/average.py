"""A moving average of the trained parameters over the updates, for use in their place."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vpt_gen.training.state import (
    Params,
    Task,
    TrainState,
    as_partial,
)

_TRAINED, _AVERAGE = "trained", "average"


def averaged(task: Task, decay: float) -> Task:
    """Wraps a task: its parameters become {"trained": ..., "average": ...}.

    Args:
      task: trains all of its parameters.
      decay: weight of the old average in an update, in [0, 1); lower in the first updates,
        (1 + t) / (10 + t), so that the initial parameters fade.
    """

    def init(of_task: Partial, key: jax.Array) -> TrainState:
        state = of_task(key)
        return state.replace(params={_TRAINED: state.params, _AVERAGE: state.params})

    def train_step(state: TrainState, frozen: Params, batch, key: jax.Array):
        average = state.params[_AVERAGE]
        state, metrics = task.train_step(
            state.replace(params=state.params[_TRAINED]), frozen, batch, key
        )
        stays = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda a, p: stays * a + (1.0 - stays) * p, average, state.params)
        return state.replace(params={_TRAINED: state.params, _AVERAGE: average}), metrics

    def of_average(function):
        return lambda params, *rest: function(average_of(params), *rest)

    return dataclasses.replace(
        task,
        # An argument, as it may hold the parameters that the task starts from.
        init=Partial(init, as_partial(task.init)),
        train_step=train_step,
        eval_step=of_average(task.eval_step),
        pictures=of_average(task.pictures),
    )


def average_of(params: Params) -> Params:
    """Returns the average from the parameters of an averaged task."""
    return params[_AVERAGE]
