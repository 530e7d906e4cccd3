"""Intra-LPIPS: which images are compared, and that equal ones are at distance 0."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import measured
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.errors import UserError
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.perceptual_diversity import (
    choose,
    common_side,
    find_perceptual,
    first_of_classes,
    intra_lpips,
)
from vpt_gen.nets.lpips import LPIPS


@pytest.fixture(scope="module")
def lpips():
    """AlexNet with random weights: equal images are at distance 0 all the same."""
    net = LPIPS("alex")
    shape = jnp.zeros((1, 32, 32, 3))
    params = jax.jit(net.init)(jax.random.key(0), shape, shape)["params"]
    return PretrainedNet(net, params, "random", {})


def pictures(count, side=32, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8))


def test_the_first_of_each_class_are_compared():
    assert first_of_classes(np.array([1, 0, 1, 1, 0]), 2).tolist() == [1, 1, 1, 0, 1]
    for classes, each in [(1, 10), (100, 6), (1000, 2), (5000, 2)]:
        assert choose(np.tile(np.arange(classes), 12)).sum() == classes * each


@pytest.mark.slow
def test_the_mean_is_over_pairs_and_then_over_classes(lpips):
    images, labels = pictures(7), np.array([0, 1, 0, 1, 1, 0, 2])
    means = []
    for label in (0, 1):
        pairs = itertools.combinations(np.flatnonzero(labels == label), 2)
        a, b = (np.stack([images[i] for i in side]) / 255 for side in zip(*pairs, strict=True))
        means.append(lpips.net.apply({"params": lpips.params}, a, b).mean())
    found = intra_lpips(lpips, images, labels, 32, "images")
    np.testing.assert_allclose(found, np.mean(means), rtol=1e-5)


@pytest.mark.slow
def test_equal_images_are_not_diverse_and_sizes_may_differ(lpips):
    same = pictures(1) * 3
    assert intra_lpips(lpips, same, np.zeros(3, int), 32, "images") == 0
    mixed = [*pictures(2), *pictures(1, side=50)]
    assert intra_lpips(lpips, mixed, np.zeros(3, int), 32, "images") > 0
    assert common_side(mixed, "alex") == 32
    assert common_side(pictures(2, side=8), "alex") == 31
    assert common_side([np.zeros((300, 500, 3), np.uint8)], "alex") == 256


def test_a_class_of_one_has_none(lpips):
    with pytest.raises(UserError, match="two images or more"):
        intra_lpips(lpips, pictures(2), np.array([0, 1]), 32, "images")


@pytest.mark.slow
def test_the_yardstick_takes_it_where_weights_are_at_hand(lpips):
    yardstick = measured.yardstick(reference=12, train=12, lpips=lpips)
    images, labels = measured.blobs(9)
    found, _ = measure(yardstick, measured.image_set(images, labels, digest=""))
    figure = found.values["intra_lpips"]
    assert figure.value > 0 and figure.floor > 0
    assert figure.details["floor_of"] == "12 of 12 held-out images"
    assert figure.details["lpips_digest"] == "random"


def test_no_weights_are_no_error(tmp_path):
    assert find_perceptual(str(tmp_path)) is None
