"""Two updates of a method on a small net, what they leave as it was, and what is then drawn."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from vpt_gen.decode.generate import generate
from vpt_gen.methods.method import STAGED
from vpt_gen.nets.additions import each_with_its_own

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


def predicted(net, params, tokens, told):
    """Returns the logits of whole sequences (B, N), each of its condition."""
    told = dict(told)
    additions = told.pop("additions", None)

    def logits(params, tokens, told):
        return net.apply({"params": params}, tokens, **told)

    if additions is None:
        return logits(params, tokens, told)
    return each_with_its_own(logits, params, additions, tokens, told)


def greedy(net, params, told, **options):
    """Draws the likeliest tokens (B, N) of a causal net one by one, in the order of the sequence.

    What it is told of each image is as `Method.conditions` returns it.
    """

    @jax.jit
    def run(params, told):
        keys = jax.random.split(jax.random.key(0), len(jax.tree.leaves(told)[0]))
        staged = {name: x[None] if name in STAGED else x for name, x in told.items()}
        return generate(net, params, keys, TOKENS, **staged, temperature=0.0, **options)[0]

    return net.to_sequence(run(params, told))
