"""Conditions of the page's images: classes, or training images if prompts have only these."""

import numpy as np

from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.runs.generation import instances_of
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.samples import class_bank

MAX_CLASSES = 20


def draw_classes(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns the classes among labels (n,), or `MAX_CLASSES` of them drawn by seed; in order."""
    drawn = np.random.default_rng([seed, 0xC1A5]).permutation(np.unique(labels))
    return np.sort(drawn[:MAX_CLASSES])


def class_conditions(run: TunedRun, classes: np.ndarray, count: int) -> np.ndarray:
    """Returns conditions (len(classes) * count, 2) of classes, as in `samples.class_bank`.

    If prompts have training images only, those of a class take turns.
    """
    conditions = class_bank(classes.repeat(count))[:, 0]
    if run.has_prompts and not run.token_sampler.method.num_classes:
        conditions[:, 1] = instances_of(conditions[:, 0], run.facts)
    return conditions


def prompt_pairs(run: TunedRun, classes: np.ndarray) -> np.ndarray:
    """Returns a pair of conditions (n, 2, 2) for each class, with the class as its end.

    It starts with a training image of the class if prompts have any, with the next class otherwise.
    None if prompts have only one class.
    """
    method = run.token_sampler.method
    pairs = np.full((len(classes), 2, 2), NO_INSTANCE, np.int32)
    pairs[:, :, 0] = classes[:, None]
    if not method.num_instances:
        pairs[:, 0, 0] = np.roll(classes, 1)
        return pairs if len(classes) > 1 else pairs[:0]
    if method.num_classes:
        pairs[:, 0, 1] = instances_of(classes, run.facts)
    else:
        pairs[:, :, 1] = instances_of(classes.repeat(2), run.facts).reshape(-1, 2)
    return pairs
