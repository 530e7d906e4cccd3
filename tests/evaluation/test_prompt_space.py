"""Prompts that are made to cluster, or to resemble images, are found to."""

import jax
import numpy as np
import pytest

from vpt_gen.evaluation import prompt_space
from vpt_gen.nets.prompt_generator import (
    NO_INSTANCE,
    PromptGenerator,
    init_params,
)

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 3


def clustered(spread):
    """Prompts (60, 4, 8) of three classes, that the first two tokens do not tell apart."""
    centers = RANDOM.normal(size=(3, 4, 8))
    centers[:, :2] = 0.0
    return centers[LABELS] + spread * RANDOM.normal(size=(60, 4, 8))


def test_points_have_the_distances_of_the_prompts_cut_short():
    prompts = clustered(1.0)
    found = dict(prompt_space.coordinates(prompts))
    assert list(found) == [1, 2, 4]
    for s, points in found.items():
        cut = prompts[:, :s].reshape(60, -1)
        expected = np.linalg.norm(cut[:, None] - cut[None], axis=-1)
        np.testing.assert_allclose(
            np.linalg.norm(points[:, None] - points[None], axis=-1), expected, atol=1e-9
        )
        assert (np.diff(np.square(points).sum(axis=0)) <= 1e-9).all()


def test_lengths_end_with_the_whole_prompt():
    assert prompt_space.lengths(1) == [1]
    assert prompt_space.lengths(6) == [1, 2, 4, 6]
    assert prompt_space.lengths(16) == [1, 2, 4, 8, 16]


@pytest.mark.slow
def test_clusters_match_from_the_token_on_that_tells_classes_apart():
    found = {
        s: prompt_space.cluster_match(points, LABELS, seed=0)
        for s, points in prompt_space.coordinates(clustered(0.05))
    }
    assert found[4].purity == 1.0
    assert found[4].nmi == pytest.approx(1.0)
    assert found[4].silhouette > 0.8
    assert found[2].purity < 0.6
    assert found[2].silhouette < 0.1
    # Chance is not a third: clusters of random sizes have a majority, too.
    assert 1 / 3 < found[4].chance < 0.6


def test_purity_by_hand():
    assert prompt_space.purity(np.array([5, 5, 5, 7]), np.array([0, 0, 1, 1])) == 0.75


def test_cosines_forget_what_all_share():
    shared = np.array([[10.0, 1.0], [10.0, -1.0], [10.0, 1.0], [10.0, -1.0]])
    *_, (_, points) = prompt_space.coordinates(shared[:, None])
    expected = np.array([[1, -1, 1, -1], [-1, 1, -1, 1]] * 2)
    np.testing.assert_allclose(prompt_space.similarity(points), expected, atol=1e-6)


def test_resemblance_is_told_from_chance():
    points = RANDOM.normal(size=(10, 5))
    turned = points @ np.linalg.qr(RANDOM.normal(size=(5, 5)))[0]
    same = prompt_space.resemblance(points, turned, seed=0)
    assert same.correlation == pytest.approx(1.0, abs=1e-6)
    other = prompt_space.resemblance(points, RANDOM.normal(size=(10, 5)), seed=0)
    assert abs(other.correlation) < 0.5
    assert 0.05 < other.chance < 0.6


@pytest.mark.slow
def test_prompts_of_instances_alone():
    generator = PromptGenerator(2, 3, 8, num_instances=4)
    params = jax.device_get(init_params(generator, jax.random.key(0)))
    conditions = np.array([[0, 1], [1, 1], [0, NO_INSTANCE]], np.int32)
    prompts = prompt_space.make_prompts(generator, params, conditions)
    assert prompts.shape == (3, 3, 8)
    assert abs(prompts[0] - prompts[1]).max() > 1e-3
    alone = prompt_space.make_prompts(generator, prompt_space.without_classes(params), conditions)
    np.testing.assert_allclose(alone[0], alone[1])


@pytest.mark.slow
def test_few_points_have_a_map():
    assert prompt_space.embed(RANDOM.normal(size=(4, 3)), seed=0).shape == (4, 2)
