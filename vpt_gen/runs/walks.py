"""Images under prompts between, or beyond, those that a run has learned."""

from collections.abc import Iterator, Sequence

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.runs.opened import TunedRun


def along(
    run: TunedRun,
    classes: Sequence[int],
    instances: Sequence[int],
    steps: int,
    num: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Yields images (num, H, W, 3) in [0, 1] of each step along some prompts, all of one noise.

    Args:
      run: of prompts.
      classes: to walk along.
      instances: training images instead, or none.
      steps: from each to the next, with both.
      num: images of a step.
      seed: of the noise.

    Raises:
      UserError: a run without prompts, or without those of classes.
    """
    labels = run.facts.get("instance_labels", [])
    stops = [(labels[i], i) for i in instances] or [(c, NO_INSTANCE) for c in classes]
    positions = np.linspace(0, len(stops) - 1, (steps - 1) * (len(stops) - 1) + 1)
    for position in positions:
        weights = np.maximum(0.0, 1.0 - np.abs(position - np.arange(len(stops))))
        yield _drawn(run, stops, weights, num, seed)


def mixed(
    run: TunedRun, classes: Sequence[int], weights: Sequence[float], num: int, seed: int
) -> np.ndarray:
    """Returns images (num, H, W, 3) in [0, 1] under a sum of class prompts, which may subtract.

    Raises:
      UserError: see `along`.
    """
    stops = [(c, NO_INSTANCE) for c in classes]
    return _drawn(run, stops, np.asarray(weights), num, seed)


def mixture(words: Sequence[str]) -> tuple[list[str], list[float]]:
    """Parses ["3:1", "8:-0.5", "0:0.5"] -> names of classes, and their weights.

    Raises:
      UserError: another form, or weights that do not sum to 1.
    """
    names, weights = [], []
    for word in words:
        name, _, weight = word.rpartition(":")
        try:
            weights.append(float(weight))
        except ValueError:
            name = ""
        if not name:
            raise UserError(f"--mix: {word!r} must be <class>:<weight>, such as 3:0.5.")
        names.append(name)
    if not np.isclose(sum(weights), 1.0, atol=1e-5):
        raise UserError(f"The weights of --mix sum to {sum(weights):g}; they must sum to 1.")
    return names, weights


def _drawn(
    run: TunedRun, stops: Sequence[tuple[int, int]], weights: np.ndarray, num: int, seed: int
) -> np.ndarray:
    if not run.has_prompts:
        raise UserError(f"{run.workdir} is a run of {run.config.task}, which has no prompts.")
    if any(i == NO_INSTANCE for _, i in stops) and not run.token_sampler.method.num_classes:
        raise UserError("These prompts have training images only: give --instances.")
    bank = np.broadcast_to(np.array(stops, np.int32), (num, len(stops), 2))
    batches = run.sampler.stream(run.params, bank, seed, weights[None])
    return np.concatenate([batch.images for batch in batches])
