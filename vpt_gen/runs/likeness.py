"""Which of the source's own classes a tuned prompt acts like: what was transferred, in a word."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.halton import halton_order
from vpt_gen.machine.progress import track
from vpt_gen.nets.transformer import MASK_TOKEN_ID, TokenTransformer
from vpt_gen.runs.generation import Generation, plain_generation
from vpt_gen.runs.opened import TunedRun

# Images of a class in which predictions are compared, and the source classes that are compared in
# all of them, instead of in the first one alone.
_IMAGES, _FINALISTS = 4, 20
_BATCH = 64

Likeness = list[tuple[int, float]]


def images_for(run: TunedRun, class_ids: np.ndarray, seed: int) -> Generation:
    """Returns the images of classes (n,) whose tokens `likenesses` takes."""
    return plain_generation(run, np.repeat(class_ids, _IMAGES), seed)


def likenesses(
    run: TunedRun, class_ids: np.ndarray, num_classes: int, tokens: np.ndarray
) -> list[Likeness]:
    """Finds the source classes that predict most like class prompts do.

    Predictions are those of the tokens of images that the run draws: of all but an eighth, from
    that eighth (NAR), or of each token from those before it (AR).

    Args:
      run: of class prompts.
      class_ids: (n,) of the run.
      num_classes: of the source.
      tokens: (4 n, N) of the images of `images_for`.

    Returns:
      For each class, (source class, Kullback-Leibler divergence of its predictions from the
      prompt's, nats per token), the most alike first.
    """
    sampler = run.token_sampler
    net, source = sampler.transformer, sampler.frozen["transformer"]
    given, compared = _hidden(net, tokens)
    conditions = dict(sampler.method.conditions(run.params, jnp.asarray(class_ids), None))
    adapted = sampler.method.params(source, run.params)
    divergences = jax.jit(functools.partial(_divergences, net))
    found = []
    for row in track(range(len(class_ids)), total=len(class_ids), label="likeness"):
        images = range(row * _IMAGES, (row + 1) * _IMAGES)

        def from_prompt(image, classes, row=row):
            own = {name: x[row] for name, x in conditions.items()}
            at = given[image], compared[image], own
            starts = range(0, len(classes), _BATCH)  # Batches of one size, to compile once.
            parts = [np.resize(classes[i : i + _BATCH], _BATCH) for i in starts]
            found = np.concatenate([divergences(source, adapted, *at, part) for part in parts])
            return found[: len(classes)]

        everyone = np.arange(num_classes)
        finalists = np.argsort(from_prompt(images[0], everyone), kind="stable")[:_FINALISTS]
        means = np.mean([from_prompt(image, finalists) for image in images], axis=0)
        order = np.argsort(means, kind="stable")
        found.append([(int(finalists[i]), float(means[i])) for i in order])
    return found


def _hidden(net: TokenTransformer, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the net's input (n, N), and the positions (n, N) whose predictions are compared."""
    if net.family == "ar":
        return np.asarray(net.to_sequence(jnp.asarray(tokens))), np.ones(tokens.shape, bool)
    masked = np.zeros(tokens.shape, bool)
    masked[:, halton_order(*net.shown_grid(tokens.shape[1]))[tokens.shape[1] // 8 :]] = True
    return np.where(masked, MASK_TOKEN_ID, tokens), masked


def _divergences(
    net: TokenTransformer,
    source: Any,
    adapted: Any,
    tokens: jax.Array,
    compared: jax.Array,
    condition: dict[str, jax.Array],
    classes: jax.Array,
) -> jax.Array:
    """Returns the divergence (B,) of source classes (B,) from an adapted net's condition.

    They are compared in one image (N,). The condition is a prompt (S, D) and, for nets that take
    them, a vector (D,).
    """

    def logs(params, tokens, **condition):
        logits: Any = net.apply({"params": params}, tokens, **condition)
        return jax.nn.log_softmax(logits.astype(jnp.float32))

    own = logs(adapted, tokens[None], **{name: x[None] for name, x in condition.items()})
    others = logs(source, jnp.broadcast_to(tokens, (len(classes), len(tokens))), class_ids=classes)
    of_each = jnp.sum(jnp.exp(own) * (own - others), axis=-1)
    return jnp.sum(of_each * compared, axis=-1) / jnp.sum(compared)
