"""The first state of a task."""

import jax
import jax.numpy as jnp

from vpt_gen.machine import sharding
from vpt_gen.training.state import (
    Task,
    TrainState,
    initial_state,
)


def test_parameters_that_a_task_starts_from_are_arguments_of_its_program():
    traced = []

    def init(start, key):
        traced.append(isinstance(start, jax.core.Tracer))
        return TrainState(jnp.zeros((), jnp.int32), {"w": start + jax.random.uniform(key)}, ())

    task = Task(jax.tree_util.Partial(init, jnp.ones(3)), None, None, None, {})
    state = initial_state(task, 0, sharding.make_mesh(jax.devices()[:1]))
    assert state.params["w"].shape == (3,)
    assert traced[-1]  # A constant of the program would not be.
