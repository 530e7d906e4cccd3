"""Diversity by LPIPS: which images are compared, and that equal ones are at distance 0."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import measured
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.errors import UserError
from vpt_gen.evaluation import perceptual_diversity
from vpt_gen.evaluation.features import Features
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.metrics import intra_lpips as intra_lpips_metric
from vpt_gen.evaluation.metrics.intra_lpips import IntraLpips
from vpt_gen.evaluation.perceptual_diversity import (
    Stages,
    choose,
    common_side,
    find_perceptual,
    first_of_classes,
    intra_lpips,
    mean_of_pairs,
)
from vpt_gen.evaluation.yardstick import Measured
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
    found = mean_of_pairs(lpips, images, labels, 32, "images")
    np.testing.assert_allclose(found, np.mean(means), rtol=1e-5)


@pytest.mark.slow
def test_equal_images_are_not_diverse_and_sizes_may_differ(lpips):
    same = pictures(1) * 3
    assert mean_of_pairs(lpips, same, np.zeros(3, int), 32, "images") == 0
    mixed = [*pictures(2), *pictures(1, side=50)]
    assert mean_of_pairs(lpips, mixed, np.zeros(3, int), 32, "images") > 0
    assert common_side(mixed, "alex") == 32
    assert common_side(pictures(2, side=8), "alex") == 31
    assert common_side([np.zeros((300, 500, 3), np.uint8)], "alex") == 256


def test_a_class_of_one_has_none(lpips):
    with pytest.raises(UserError, match="two images or more"):
        mean_of_pairs(lpips, pictures(2), np.array([0, 1]), 32, "images")


@pytest.mark.slow
def test_the_yardstick_takes_it_where_weights_are_at_hand(lpips):
    yardstick = measured.yardstick(reference=12, train=12, lpips=lpips)
    images, labels = measured.blobs(9)
    found, _ = measure(yardstick, measured.image_set(images, labels, digest=""))
    figure = found.values["intra_class_lpips"]
    assert figure.value > 0 and figure.floor > 0
    assert figure.details["floor_of"] == "12 of 12 held-out images"
    assert figure.details["lpips_digest"] == "random"


def test_no_weights_are_no_error(tmp_path):
    assert find_perceptual(str(tmp_path)) is None


@pytest.mark.slow
def test_blocks_of_pairs_have_the_distances_of_the_net(lpips):
    a, b = pictures(9), pictures(3, seed=1)
    found = Stages(lpips, 32).distances(a, b)
    for i, j in [(0, 0), (8, 2), (7, 1)]:
        expected = lpips.net.apply({"params": lpips.params}, a[i][None] / 255, b[j][None] / 255)
        np.testing.assert_allclose(found[i, j], expected[0], rtol=1e-5)


@pytest.mark.slow
def test_a_set_against_itself_has_the_distances_of_two(lpips, monkeypatch):
    monkeypatch.setattr(perceptual_diversity, "_HELD", 1)
    stages, images = Stages(lpips, 32), pictures(18)
    upper = np.triu_indices(18, 1)
    found, expected = stages.distances(images, images), stages.distances(images, list(images))
    np.testing.assert_array_equal(found[upper], expected[upper])


@pytest.mark.slow
def test_copies_of_examples_have_no_few_shot_diversity(lpips):
    examples = pictures(2)
    found = intra_lpips(lpips, examples * 3, examples, 32)
    assert found.mean == 0 and found.sizes == [3, 3]
    # At most 50 images of a cluster count, and images only join examples of their class.
    groups = np.zeros(56, int), np.array([0, 1])
    assert intra_lpips(lpips, examples * 28, examples, 32, groups).sizes == [50, 0]
    with pytest.raises(UserError, match="nearest to one example"):
        intra_lpips(lpips, pictures(1), examples, 32)


@pytest.mark.slow
def test_the_few_shot_protocol_is_measured_on_request(lpips):
    yardstick = measured.yardstick(reference=12, train=6, lpips=lpips)
    yardstick = dataclasses.replace(yardstick, also=frozenset({"intra_lpips"}))
    images, labels = measured.blobs(18)
    found, _ = measure(yardstick, measured.image_set(images, labels, digest=""))
    figure = found.values["intra_lpips"]
    assert figure.value > 0 and figure.floor > 0 and figure.std is not None
    assert sum(figure.details["images_of_clusters"]) == 18
    assert figure.details["training_images"] == "6 training images"


def test_the_few_shot_protocol_is_for_few_known_images(lpips, monkeypatch):
    made = Measured(measured.image_set(*measured.blobs(6)), Features(6, {}, {}, np.arange(6)))
    many = measured.yardstick(train=600, lpips=lpips)
    with pytest.raises(UserError, match="a class has 200 training images; at most 100"):
        IntraLpips().measure(many, made)
    monkeypatch.setattr(intra_lpips_metric, "MAX_EXAMPLES_IN_ALL", 50)
    with pytest.raises(UserError, match="there are 60 training images; at most 50"):
        IntraLpips().measure(measured.yardstick(train=60, lpips=lpips), made)
    with pytest.raises(UserError, match="--train"):
        IntraLpips().measure(measured.yardstick(train=0, lpips=lpips), made)
    with pytest.raises(UserError, match="weights of LPIPS"):
        IntraLpips().measure(measured.yardstick(), made)
