"""The moving average of the trained parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from vpt_gen.training.average import average_of, averaged
from vpt_gen.training.state import Task, TrainState

SOURCE = jnp.array([1.0, -2.0])


def counting(start, key):
    del key
    return TrainState(jnp.zeros((), jnp.int32), {"w": start}, {"moment": jnp.zeros(())})


def add_batch(state, frozen, batch, key):
    del frozen, key
    params = {"w": state.params["w"] + batch}
    return state.replace(step=state.step + 1, params=params), {"loss": batch}


TASK = Task(
    Partial(counting, SOURCE),
    add_batch,
    lambda params, *_: {"loss": params["w"]},
    lambda params, *_: {"samples": params["w"]},
    {},
)


@pytest.mark.parametrize("decay", [0.2, 0.9])
def test_it_follows_the_parameters_and_forgets_the_first(decay):
    task = averaged(TASK, decay)
    state, w = task.init(jax.random.key(0)), np.array(SOURCE)
    expected = w
    for t in range(1, 6):
        state, metrics = task.train_step(state, {}, jnp.float32(t), None)
        w = w + t
        stays = min(decay, (1 + t) / (10 + t))
        expected = stays * expected + (1 - stays) * w
        assert metrics["loss"] == t
    np.testing.assert_allclose(average_of(state.params)["w"], expected, rtol=1e-6)
    np.testing.assert_allclose(state.params["trained"]["w"], w)
    assert state.opt_state.keys() == {"moment"}


def test_evaluation_and_pictures_use_it():
    task = averaged(TASK, 0.9)
    state, _ = task.train_step(task.init(jax.random.key(0)), {}, jnp.float32(5), None)
    average = average_of(state.params)["w"]
    assert (average != state.params["trained"]["w"]).all()
    np.testing.assert_array_equal(task.eval_step(state.params, {}, 0, None)["loss"], average)
    np.testing.assert_array_equal(task.pictures(state.params, {}, 0, None)["samples"], average)


def test_the_source_is_an_argument_and_no_constant():
    assert [x is SOURCE for x in jax.tree.leaves(averaged(TASK, 0.9).init)] == [True]
