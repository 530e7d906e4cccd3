"""The first state of a task."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.machine import sharding
from vpt_gen.training.state import Task, TrainState, initial_state, keys


def test_parameters_that_a_task_starts_from_are_arguments_of_its_program():
    traced = []

    def init(start, key):
        traced.append(isinstance(start, jax.core.Tracer))
        return TrainState(jnp.zeros((), jnp.int32), {"w": start + jax.random.uniform(key)}, ())

    task = Task(jax.tree_util.Partial(init, jnp.ones(3)), None, None, None, {})
    state = initial_state(task, 0, sharding.make_mesh(jax.devices()[:1]))
    assert state.params["w"].shape == (3,)
    assert traced[-1]  # A constant of the program would not be.


@pytest.fixture
def optimized():
    """Programs that are compiled as for users."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, False)
    yield
    jax.config.update(name, before)


def test_the_initial_state_is_that_of_an_ordinary_program(optimized):
    def init(key):
        params = {"w": jax.random.truncated_normal(key, -2.0, 2.0, (48,))}
        return TrainState(jnp.zeros((), jnp.int32), params, ())

    state = initial_state(Task(init, *[None] * 3, {}), 5, sharding.make_mesh(jax.devices()[:1]))
    chex.assert_trees_all_equal(state, jax.jit(init)(keys(5)[0]))
    assert np.abs(state.params["w"]).max() > 0
