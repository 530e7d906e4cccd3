"""LPIPS against PyPI `lpips`, with random weights made from the golden folder's recipe."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from tests import golden_metrics
from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.nets import lpips
from vpt_gen.nets.lpips import (
    LPIPS,
    MIN_SIDE,
    distance,
)

pytestmark = pytest.mark.slow

SIDE = MIN_SIDE["vgg"]


@pytest.fixture(scope="module", params=["vgg", "alex"])
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def contributions(backbone, tmp_path_factory):
    """Shares (15, 5) of the stages, for all pairs of the golden images."""
    path = tmp_path_factory.mktemp("lpips") / "weights.npz"
    np.savez(path, **golden_metrics.lpips_tensors(backbone))
    images = golden_metrics.arrays("lpips.npz")["images_uint8"]
    images = images.transpose(0, 2, 3, 1) / np.float32(255.0)
    first, second = np.triu_indices(len(images), 1)
    pretrained = load_perceptual(path, backbone)
    compare = jax.jit(functools.partial(pretrained.net.apply, method="contributions"))
    return np.asarray(compare({"params": pretrained.params}, images[first], images[second]))


@pytest.fixture
def params(monkeypatch):
    """Of a narrow VGG16, for what does not depend on its width."""
    monkeypatch.setattr(lpips, "STAGES", ((8, 2), (8, 2), (16, 3), (16, 3), (16, 3)))
    image = jnp.zeros((1, SIDE, SIDE, 3))
    return jax.jit(LPIPS().init)(jax.random.key(0), image, image)["params"]


def noise(seed, batch=2, side=SIDE):
    return np.random.default_rng(seed).random((batch, side, side, 3), np.float32)


@golden_metrics.needed
def test_every_stage(contributions, backbone):
    golden_metrics.assert_golden(contributions, f"{backbone}_per_layer", "lpips.npz")


@golden_metrics.needed
def test_distance(contributions, backbone):
    golden_metrics.assert_golden(contributions.sum(axis=-1), f"{backbone}_pairwise", "lpips.npz")


def test_distance_is_the_sum_of_the_stages(params):
    a, b = noise(1), noise(2)
    shares = jax.jit(functools.partial(LPIPS().apply, method="contributions"))
    np.testing.assert_allclose(
        jax.jit(distance)(params, a, b), shares({"params": params}, a, b).sum(axis=-1), rtol=1e-6
    )


def test_equal_images_are_at_distance_zero_and_order_does_not_count(params):
    a, b = noise(1), noise(2)
    compare = jax.jit(distance)
    np.testing.assert_array_equal(compare(params, a, a), [0.0, 0.0])
    assert np.all(compare(params, a, b) > 0.0)
    np.testing.assert_array_equal(compare(params, a, b), compare(params, b, a))


def test_sides_that_the_poolings_do_not_divide(params):
    images = jax.ShapeDtypeStruct((2, 35, 51, 3), np.float32)
    assert jax.eval_shape(distance, params, images, images).shape == (2,)


def test_gradient_is_finite_where_no_feature_is_active(params):
    dead = traverse_util.path_aware_map(
        lambda path, x: jnp.full_like(x, -9.0) if path[-1] == "bias" else x, params
    )
    np.testing.assert_array_equal(jax.jit(distance)(dead, noise(1), noise(2)), [0.0, 0.0])
    gradient = jax.jit(jax.grad(lambda params, x: distance(params, noise(1), x).sum(), argnums=1))
    assert np.all(np.isfinite(gradient(params, noise(2))))
    np.testing.assert_array_equal(gradient(dead, noise(2)), np.zeros_like(noise(2)))


@pytest.mark.parametrize("backbone", lpips.NETS)
def test_smallest_images(backbone):
    def init(side):
        images = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
        return jax.eval_shape(LPIPS(backbone).init, jax.random.key(0), images, images)

    smallest = MIN_SIDE[backbone]
    init(smallest)
    with pytest.raises(ValueError, match=f"{smallest} pixels or more"):
        init(smallest - 1)
