"""Perceptual weights from an .npz: names, layout, and what is refused."""

import chex
import jax
import numpy as np
import pytest
from flax import traverse_util

from vpt_gen import sharding
from vpt_gen.checkpoints import perceptual
from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.config import default_config
from vpt_gen.errors import UserError
from vpt_gen.experiment import make_experiment
from vpt_gen.nets import lpips

# The slice of `lpips.LPIPS` in which each of torchvision's convolutions stands.
SLICES = {0: 1, 2: 1, 5: 2, 7: 2, 10: 3, 12: 3, 14: 3, 17: 4, 19: 4, 21: 4, 24: 5, 26: 5, 28: 5}


@pytest.fixture
def narrow(monkeypatch):
    """VGG16 with few channels, so that files are small."""
    stages = ((2, 2), (3, 2), (4, 3), (5, 3), (5, 3))
    monkeypatch.setattr(perceptual, "STAGES", stages)
    monkeypatch.setattr(lpips, "STAGES", stages)


@pytest.fixture
def tensors(narrow):
    """Random tensors under torchvision's names."""
    random = np.random.default_rng(0)
    shapes = {name: shape for name, (_, shape) in perceptual._layout().items()}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def write(tmp_path):
    def write(tensors):
        path = tmp_path / "weights.npz"
        np.savez(path, **tensors)
        return str(path)

    return write


def sliced(name):
    """A torchvision name as `lpips.LPIPS` has it."""
    if not name.startswith("features."):
        return name
    _, layer, kind = name.split(".")
    return f"net.slice{SLICES[int(layer)]}.{layer}.{kind}"


def test_released_layout():
    layout = perceptual._layout()
    assert len(layout) == 2 * 13 + 5
    assert layout["features.0.weight"] == ("vgg/Conv_0/kernel", (64, 3, 3, 3))
    assert layout["features.10.weight"] == ("vgg/Conv_4/kernel", (256, 128, 3, 3))
    assert layout["features.28.bias"] == ("vgg/Conv_12/bias", (512,))
    assert layout["lin1.model.1.weight"] == ("lin1", (1, 128, 1, 1))


def test_tree_is_that_of_the_net(tensors, write):
    params = load_perceptual(write(tensors), 32)
    image = np.zeros((1, 16, 16, 3), np.float32)
    made = jax.eval_shape(lpips.LPIPS().init, jax.random.key(0), image, image)["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(params, made)


def test_kernels_are_transposed_and_lin_layers_flattened(tensors, write):
    params = load_perceptual(write(tensors), 32)
    kernel = params["vgg"]["Conv_1"]["kernel"]
    assert kernel[0, 2, 1, 0] == tensors["features.2.weight"][0, 1, 0, 2]
    np.testing.assert_array_equal(params["vgg"]["Conv_1"]["bias"], tensors["features.2.bias"])
    np.testing.assert_array_equal(params["lin3"], tensors["lin3.model.1.weight"].ravel())


def test_a_whole_state_dict_of_lpips_reads_the_same(tensors, write):
    expected = load_perceptual(write(tensors), 32)
    state_dict = {sliced(name): value for name, value in tensors.items()}
    for stage in range(5):
        state_dict[f"lins.{stage}.model.1.weight"] = tensors[f"lin{stage}.model.1.weight"]
    state_dict["scaling_layer.shift"] = state_dict["scaling_layer.scale"] = np.zeros((1, 3, 1, 1))
    chex.assert_trees_all_equal(load_perceptual(write(state_dict), 32), expected)


def test_half_precision_becomes_float32(tensors, write):
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    for leaf in traverse_util.flatten_dict(load_perceptual(write(halves), 32)).values():
        assert leaf.dtype == np.float32


def test_no_path_is_no_term():
    assert load_perceptual("", 32) is None


def test_every_mismatch_is_named(tensors, write):
    del tensors["features.28.bias"]
    tensors["lin0.model.1.weight"] = np.zeros((1, 9, 1, 1))
    tensors["features.30.weight"] = np.zeros(3)
    with pytest.raises(UserError) as refused:
        load_perceptual(write(tensors), 32)
    message = str(refused.value)
    assert "missing: features.28.bias;" in message
    assert "unknown: features.30.weight;" in message
    assert "misshapen: lin0.model.1.weight (1, 9, 1, 1) instead of (1, 2, 1, 1)." in message


def test_a_long_list_is_cut(narrow, write):
    with pytest.raises(UserError, match=r"features\.0\.bias, features\.2\.weight and 23 more\.$"):
        load_perceptual(write({}), 32)


def test_missing_file_is_named_with_the_cure():
    with pytest.raises(UserError, match=r"nowhere\.npz do not exist; set config\.losses\."):
        load_perceptual("nowhere.npz", 32)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_file_that_is_no_npz(tmp_path, content):
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.npz are no readable \.npz"):
        load_perceptual(str(path), 32)


def test_single_array_file(tmp_path):
    path = tmp_path / "weights.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(UserError, match=r"no readable \.npz"):
        load_perceptual(str(path), 32)


def test_images_too_small_to_compare():
    with pytest.raises(UserError, match="image_size 8 is too small for the perceptual term"):
        load_perceptual("weights.npz", 8)


def test_tokenizer_trains_on_the_perceptual_term(tensors, write, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16), np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.zeros(4, int), class_names=["a"])
    config = default_config("tokenizer")
    config.batch_size = 2
    config.data.update(kind="npz", path=str(tmp_path / "data.npz"), holdout=0.0, image_size=16)
    config.model.update(
        filters=32, channel_multipliers=(1, 1), num_res_blocks=1, embedding_dim=4, codebook_size=8
    )
    config.losses.update(adversarial_weight=0.0, perceptual_weights=write(tensors))

    experiment = make_experiment(config, str(tmp_path), sharding.make_mesh(jax.devices()[:1]))
    task, batch = experiment.task, next(experiment.train_batches(0))

    @jax.jit
    def term_and_distance(frozen, images):
        state = task.init(jax.random.key(0))
        _, metrics = task.train_step(state, frozen, {"image": images}, jax.random.key(1))
        reconstruction = experiment.net.apply({"params": state.params["vqgan"]}, images)[0]
        return metrics["perceptual"], lpips.distance(frozen, images, reconstruction)

    term, distance = term_and_distance(task.frozen, batch["image"])
    np.testing.assert_allclose(term, 0.1 * distance.mean(), rtol=1e-4)
