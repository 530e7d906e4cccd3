"""Two updates of a method on a small net, and which parameters they leave as they were."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

CLASSES, CODES, TOKENS = 3, 23, 9


def two_updates(task):
    """Returns the state after two updates, their losses, and the paths that did not change."""
    batch = {
        "tokens": jax.random.randint(jax.random.key(3), (6, TOKENS), 0, CODES),
        "label": jnp.arange(6) % CLASSES,
    }
    state = jax.jit(task.init)(jax.random.key(3))
    before, step = state.params, jax.jit(task.train_step)
    losses = []
    for _ in range(2):
        state, metrics = step(state, task.frozen, batch, jax.random.key(0))
        losses.append(float(metrics["loss"]))
    old, new = (traverse_util.flatten_dict(x, sep="/") for x in (before, state.params))
    return state, losses, {path for path in old if np.array_equal(old[path], new[path])}
