"""Perceptual weights from .npz and torch files: names, layout, and what is refused."""

import re

import chex
import jax
import numpy as np
import pytest
from flax import traverse_util

from tests import golden_metrics, torch_files
from vpt_gen.checkpoints import perceptual
from vpt_gen.checkpoints.perceptual import load_perceptual, perceptual_files
from vpt_gen.checkpoints.released import layout
from vpt_gen.config.fields import default_config
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.nets import lpips, stack
from vpt_gen.runs.build import make_experiment

# The slice of `lpips.LPIPS` in which each of torchvision's convolutions stands.
SLICES = {0: 1, 2: 1, 5: 2, 7: 2, 10: 3, 12: 3, 14: 3, 17: 4, 19: 4, 21: 4, 24: 5, 26: 5, 28: 5}


@pytest.fixture
def narrow(monkeypatch):
    """VGG16 with few channels, so that files are small."""
    stages = ((2, 2), (3, 2), (4, 3), (5, 3), (5, 3))
    monkeypatch.setattr(lpips, "STAGES", stages)
    # Equal nets have equal shapes, but for this one.
    stack._shapes.cache_clear()
    yield
    stack._shapes.cache_clear()


@pytest.fixture
def tensors(narrow):
    """Random tensors under torchvision's names."""
    random = np.random.default_rng(0)
    return {name: random.standard_normal(s, np.float32) for name, s in torch_shapes("vgg").items()}


@pytest.fixture
def write(tmp_path):
    def write(tensors):
        path = tmp_path / "weights.npz"
        np.savez(path, **tensors)
        return str(path)

    return write


def torch_shapes(backbone):
    """Name in torch -> shape in torch."""
    images = layout.image_batch(lpips.MIN_SIDE[backbone])
    shapes = layout.param_shapes(lpips.LPIPS(backbone), images, images)
    layers = perceptual._LAYERS[backbone]
    return {
        perceptual._torch_name(key, layers): perceptual._torch_shape(key, shape)
        for key, shape in shapes.items()
    }


def sliced(name):
    """A torchvision name as `lpips.LPIPS` has it."""
    if not name.startswith("features."):
        return name
    _, layer, kind = name.split(".")
    return f"net.slice{SLICES[int(layer)]}.{layer}.{kind}"


@pytest.mark.slow
@golden_metrics.needed
@pytest.mark.parametrize("backbone", lpips.NETS)
def test_names_and_shapes_are_those_of_lpips(backbone):
    keys = golden_metrics.facts("lpips.json")["recipe"]["keys"]
    expected = {
        re.sub(r"^net\.slice\d\.", "features.", name): tuple(shape)
        for net, name, shape in keys
        if net == backbone
    }
    assert torch_shapes(backbone) == expected


@pytest.mark.slow
def test_tree_is_that_of_the_net(tensors, write):
    params = load_perceptual(write(tensors)).params
    image = np.zeros((1, 16, 16, 3), np.float32)
    made = jax.eval_shape(lpips.LPIPS().init, jax.random.key(0), image, image)["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(params, made)


@pytest.mark.slow
def test_kernels_are_transposed_and_lin_layers_flattened(tensors, write):
    params = load_perceptual(write(tensors)).params
    kernel = params["vgg"]["Conv_1"]["kernel"]
    assert kernel[0, 2, 1, 0] == tensors["features.2.weight"][0, 1, 0, 2]
    np.testing.assert_array_equal(params["vgg"]["Conv_1"]["bias"], tensors["features.2.bias"])
    np.testing.assert_array_equal(params["lin3"], tensors["lin3.model.1.weight"].ravel())


@pytest.mark.slow
def test_a_whole_state_dict_of_lpips_reads_the_same(tensors, write):
    expected = load_perceptual(write(tensors)).params
    state_dict = {sliced(name): value for name, value in tensors.items()}
    for stage in range(5):
        state_dict[f"lins.{stage}.model.1.weight"] = tensors[f"lin{stage}.model.1.weight"]
    state_dict["scaling_layer.shift"] = state_dict["scaling_layer.scale"] = np.zeros((1, 3, 1, 1))
    chex.assert_trees_all_equal(load_perceptual(write(state_dict)).params, expected)


def test_half_precision_becomes_float32(tensors, write):
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    for leaf in traverse_util.flatten_dict(load_perceptual(write(halves)).params).values():
        assert leaf.dtype == np.float32


@pytest.fixture
def folder(tensors, tmp_path):
    """Torch files as torchvision and `lpips` publish them, of the format before 2020."""
    classifier = {"classifier.0.weight": np.zeros((2, 2))}
    backbone = {name: value for name, value in tensors.items() if name.startswith("features.")}
    torch_files.write_legacy(tmp_path / "vgg16-397923af.pth", backbone | classifier)
    (tmp_path / "v0.1").mkdir()
    lin = {name: value for name, value in tensors.items() if name.startswith("lin")}
    torch_files.write_legacy(tmp_path / "v0.1" / "vgg.pth", lin)
    return tmp_path


def test_published_torch_files_read_as_the_npz_does(tensors, write, folder):
    published = load_perceptual(folder)
    together = load_perceptual(write(tensors))
    chex.assert_trees_all_equal(published.params, together.params)
    assert published.digest == together.digest
    assert published.about == {"files": ["vgg16-397923af.pth", "vgg.pth"]}


def test_a_folder_without_all_of_them_says_what_it_lacks(folder):
    (folder / "v0.1" / "vgg.pth").unlink()
    assert perceptual_files(folder) == []
    with pytest.raises(UserError, match=r"vgg16-397923af\.pth of torchvision with v0\.1/vgg\.pth"):
        load_perceptual(folder)


def test_every_mismatch_is_named(tensors, write):
    del tensors["features.28.bias"]
    tensors["lin0.model.1.weight"] = np.zeros((1, 9, 1, 1))
    tensors["features.30.weight"] = np.zeros(3)
    with pytest.raises(UserError) as refused:
        load_perceptual(write(tensors))
    for part in (
        "missing features.28.bias (5,)",
        "unknown features.30.weight (3,)",
        "lin0.model.1.weight has shape (1, 9, 1, 1), not (1, 2, 1, 1)",
    ):
        assert part in str(refused.value)


def test_missing_file_is_named():
    with pytest.raises(UserError, match=r"nowhere\.npz do not exist"):
        load_perceptual("nowhere.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_file_that_is_no_npz(tmp_path, content):
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.npz cannot be read"):
        load_perceptual(path)


def test_single_array_file(tmp_path):
    np.save(tmp_path / "weights.npy", np.zeros(3))
    path = (tmp_path / "weights.npy").rename(tmp_path / "weights.npz")
    with pytest.raises(UserError, match="cannot be read"):
        load_perceptual(path)


def tokenizer_config(folder, image_size):
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16), np.uint8)
    np.savez(folder / "data.npz", images=images, labels=np.zeros(4, int), class_names=["a"])
    config = default_config("tokenizer")
    config.batch_size = 2
    config.data.update(
        kind="npz", path=str(folder / "data.npz"), holdout=0.0, image_size=image_size
    )
    config.model.update(
        filters=32, channel_multipliers=(1, 1), num_res_blocks=1, embedding_dim=4, codebook_size=8
    )
    config.losses.update(adversarial_weight=0.0, perceptual_weights="weights.npz")
    return config


def test_images_too_small_to_compare(tmp_path):
    mesh = sharding.make_mesh(jax.devices()[:1])
    with pytest.raises(UserError, match="image_size 8 is too small for the perceptual term"):
        make_experiment(tokenizer_config(tmp_path, 8), str(tmp_path), mesh)


@pytest.mark.slow
def test_tokenizer_trains_on_the_perceptual_term(tensors, write, tmp_path):
    config = tokenizer_config(tmp_path, 16)
    config.losses.perceptual_weights = write(tensors)
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
