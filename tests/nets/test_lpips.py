"""LPIPS against PyPI `lpips`, with random weights made from the golden folder's recipe."""

import functools
import json
import math
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.nets import lpips
from vpt_gen.nets.lpips import LPIPS, MIN_SIDE, distance

FOLDER = Path(
    os.environ.get("VPT_GEN_GOLDEN_METRICS")
    or Path(__file__).parents[3] / "shared" / "golden" / "metrics"
)
NEEDS_GOLDEN = pytest.mark.skipif(
    not (FOLDER / "lpips.json").exists(),
    reason="no golden folder: set VPT_GEN_GOLDEN_METRICS to one",
)


@functools.cache
def golden(name):
    with np.load(FOLDER / "lpips.npz") as arrays:
        return arrays[name]


def assert_golden(value, name):
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    tolerance = manifest["arrays"]["lpips.npz"][name]["tolerance"]
    np.testing.assert_allclose(value, golden(name), **tolerance)


def recipe_tensors():
    """The recipe's tensors for VGG, in torch's names and layout."""
    recipe = json.loads((FOLDER / "lpips.json").read_text())["recipe"]
    random = np.random.Generator(np.random.PCG64(recipe["seed"]))
    tensors = {}
    for net, name, shape in recipe["keys"]:
        if name.startswith("lin"):
            value = 0.5 * random.random(shape)
        elif name.endswith("bias"):
            value = 0.1 * random.standard_normal(shape)
        else:
            value = random.standard_normal(shape) * np.sqrt(2.0 / math.prod(shape[1:]))
        if net == "vgg":
            tensors[name] = value.astype(np.float32)
    return tensors


@pytest.fixture(scope="module")
def contributions(tmp_path_factory):
    """Shares (15, 5) of the stages, for all pairs of the golden images."""
    path = tmp_path_factory.mktemp("lpips") / "weights.npz"
    np.savez(path, **recipe_tensors())
    images = golden("images_uint8").transpose(0, 2, 3, 1) / np.float32(255.0)
    first, second = np.triu_indices(len(images), 1)
    compare = jax.jit(functools.partial(LPIPS().apply, method="contributions"))
    variables = {"params": load_perceptual(str(path), images.shape[1])}
    return np.asarray(compare(variables, images[first], images[second]))


@pytest.fixture
def params(monkeypatch):
    """Of a narrow VGG16, for what does not hang on its width."""
    monkeypatch.setattr(lpips, "STAGES", ((8, 2), (8, 2), (16, 3), (16, 3), (16, 3)))
    image = jnp.zeros((1, MIN_SIDE, MIN_SIDE, 3))
    return jax.jit(LPIPS().init)(jax.random.key(0), image, image)["params"]


def noise(seed, batch=2, side=MIN_SIDE):
    return np.random.default_rng(seed).random((batch, side, side, 3), np.float32)


@NEEDS_GOLDEN
def test_every_stage(contributions):
    assert_golden(contributions, "vgg_per_layer")


@NEEDS_GOLDEN
def test_distance(contributions):
    assert_golden(contributions.sum(axis=-1), "vgg_pairwise")


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


def test_images_too_small_to_pool_are_refused(params):
    with pytest.raises(ValueError, match="16 pixels or more"):
        distance(params, noise(1, side=15), noise(2, side=15))
