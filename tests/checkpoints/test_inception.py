"""Weights of the FID's InceptionV3: names, folding of the batch norms, and what is refused."""

import functools
import hashlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_metrics, torch_files
from vpt_gen.checkpoints import inception
from vpt_gen.checkpoints.inception import load_inception, obtain_inception
from vpt_gen.checkpoints.released import layout
from vpt_gen.errors import UserError
from vpt_gen.nets.inception import SIDE, InceptionV3

pytestmark = pytest.mark.slow

FOLDED = "Mixed_7b.branch3x3_2a"  # a kernel that is no square


@functools.cache
def shapes():
    """What the net has, and what its file has."""
    net = layout.param_shapes(InceptionV3(), layout.image_batch(SIDE))
    return net, inception._torch_shapes(net)


def tensors():
    """Small constants, but for one convolution with its norm, and the last layer."""
    random = np.random.default_rng(0)
    made = {name: np.broadcast_to(np.float32(0.5), shape) for name, shape in shapes()[1].items()}
    for name, shape in shapes()[1].items():
        if name.startswith((FOLDED, "fc")):
            made[name] = random.uniform(0.5, 1.5, shape).astype(np.float32)
    return made


@pytest.fixture
def write(tmp_path):
    return lambda content: torch_files.write_legacy(tmp_path / inception.FILE, content)


@golden_metrics.needed
def test_names_and_shapes_are_those_of_the_published_file():
    assert shapes()[1] == golden_metrics.recipe_shapes()


def test_a_folded_convolution_is_convolution_and_norm(write):
    content = tensors()
    params = load_inception(write(content)).params
    images = np.random.default_rng(1).standard_normal((1, 8, 8, 384), np.float32)
    weight, bias, mean, variance = (content[f"{FOLDED}.bn.{part}"] for part in inception._NORM)
    kernel = content[f"{FOLDED}.conv.weight"]
    dimensions = ("NHWC", "OIHW", "NHWC")
    convolve = functools.partial(jax.lax.conv_general_dilated, window_strides=(1, 1))
    plain = convolve(images, kernel, padding="SAME", dimension_numbers=dimensions)
    expected = (plain - mean) / jnp.sqrt(variance + 0.001) * weight + bias
    ours = params["Mixed_7b"]["branch3x3_2a"]
    folded = convolve(
        images, ours["kernel"], padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(folded + ours["bias"], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(params["fc"]["kernel"], content["fc.weight"].T)


def test_tree_and_digest(write):
    path = write(tensors())
    pretrained = load_inception(path)
    expected = {name: np.empty(shape, np.float32) for name, shape in shapes()[0].items()}
    chex.assert_trees_all_equal_shapes_and_dtypes(pretrained.params, layout.nest(expected))
    assert pretrained.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_counters_of_a_state_dict_do_no_harm(write):
    load_inception(write({**tensors(), f"{FOLDED}.bn.num_batches_tracked": np.float32(0)}))


def test_every_mismatch_is_named_at_once(write):
    content = tensors()
    del content["fc.bias"]
    content["AuxLogits.fc.weight"] = np.zeros((2, 3))
    content["Conv2d_1a_3x3.conv.weight"] = np.zeros((32, 3, 5, 5))
    with pytest.raises(UserError) as refused:
        load_inception(write(content))
    for part in ("missing fc.bias (1008,)", "unknown AuxLogits.fc.weight (2, 3)", "(32, 3, 5, 5)"):
        assert part in str(refused.value)


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pth do not exist"):
        load_inception(tmp_path / "nowhere.pth")
    foreign = tmp_path / "foreign.pth"
    foreign.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"foreign\.pth is not a torch file"):
        load_inception(foreign)


def test_the_published_file_is_looked_up_and_fetched_once(tmp_path, monkeypatch):
    fetched = []

    def fetch(address, path):
        fetched.append(address)
        path.parent.mkdir()
        path.write_bytes(b"weights")

    monkeypatch.setattr(inception, "fetch", fetch)
    prefix = hashlib.sha256(b"weights").hexdigest()[:8]
    monkeypatch.setattr(inception, "DIGEST_PREFIX", prefix)
    folder = str(tmp_path / "weights")
    path = obtain_inception(folder)
    assert obtain_inception(folder) == path == tmp_path / "weights" / inception.FILE
    assert fetched == [inception.ADDRESS]


def test_another_content_is_refused(tmp_path):
    (tmp_path / inception.FILE).write_bytes(b"other")
    with pytest.raises(UserError, match="SHA-256 does not begin with 6726825d"):
        obtain_inception(str(tmp_path))
