"""Two updates of a method on a small net, what they leave as it was, and what is then drawn."""

import functools

import jax
import numpy as np
from flax import traverse_util

from vpt_gen.decode.generate import generate
from vpt_gen.methods.method import STAGED
from vpt_gen.nets.additions import each_with_its_own

CLASSES, CODES, TOKENS = 3, 23, 9


def batch(step=0):
    tokens = np.random.default_rng(step).integers(0, CODES, (6, TOKENS))
    return {"tokens": tokens, "label": np.arange(6) % CLASSES}


def unmoved(before, after):
    """Paths of the arrays that are the same in two trees of parameters."""
    old, new = (traverse_util.flatten_dict(x, sep="/") for x in (before, after))
    return {path for path in old if np.array_equal(old[path], new[path])}


def two_updates(task, given=None):
    """Returns the state after two updates, their losses, and the paths that did not change.

    `given` is a batch; None for one of the sizes above.
    """
    # Operation by operation, because all methods draw arrays of the same shapes.
    state = task.init(jax.random.key(3))
    before, step, losses = state.params, jax.jit(task.train_step), []
    given = batch() if given is None else given
    for _ in range(2):
        state, metrics = step(state, task.frozen, given, jax.random.key(0))
        losses.append(float(metrics["loss"]))
    return state, losses, unmoved(before, state.params)


@functools.partial(jax.jit, static_argnames="net")
def predicted(net, params, tokens, told):
    """Returns the logits of whole sequences (B, N), each of its condition."""
    told = dict(told)
    additions = told.pop("additions", None)

    def logits(params, tokens, told):
        return net.apply({"params": params}, tokens, **told)

    if additions is None:
        return logits(params, tokens, told)
    return each_with_its_own(logits, params, additions, tokens, told)


@functools.partial(jax.jit, static_argnames="net")
def greedy(net, params, told):
    """Draws the likeliest tokens (B, N) of a causal net one by one, in the order of the sequence.

    What it is told of each image is as `Method.conditions` returns it.
    """
    keys = jax.random.split(jax.random.key(0), len(jax.tree.leaves(told)[0]))
    staged = {name: x[None] if name in STAGED else x for name, x in told.items()}
    return net.to_sequence(generate(net, params, keys, TOKENS, **staged, temperature=0.0)[0])
