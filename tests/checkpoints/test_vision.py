"""DINOv2 and CLIP against the published PyTorch code, with small random weights.

`tests/evaluation_references.py` made the arrays with PyPI dinov2 and transformers.
"""

import functools
import math
import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from tests import measured, torch_files
from tests.evaluation_references import FOLDER
from vpt_gen.checkpoints import clip, dinov2, vision
from vpt_gen.checkpoints.clip import load_clip
from vpt_gen.checkpoints.dinov2 import interpolated, load_dinov2
from vpt_gen.checkpoints.released import fetching, layout
from vpt_gen.errors import UserError
from vpt_gen.evaluation import spaces
from vpt_gen.evaluation.clip_space import clip_space
from vpt_gen.evaluation.dinov2_space import dinov2_space
from vpt_gen.nets.vision_transformer import VisionTransformer

SIDE, HEADS = 42, 2


@functools.cache
def arrays(name):
    with np.load(FOLDER / f"{name}.npz") as stored:
        return dict(stored)


def weights(name):
    prefix = "weights/"
    return {n.removeprefix(prefix): x for n, x in arrays(name).items() if n.startswith(prefix)}


def written(folder, name, changes=None):
    """A torch file of the reference's weights; `changes` adds, replaces or (None) drops some."""
    tensors = {**weights(name), **(changes or {})}
    path = folder / f"{name}.pth"
    torch_files.write_arrays(path, {n: x for n, x in tensors.items() if x is not None})
    return path


LOAD = {
    "dinov2": lambda path: load_dinov2(path, SIDE, HEADS),
    "clip": lambda path: load_clip(path, HEADS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOAD)
def test_features_are_those_of_the_published_code(tmp_path, name):
    pretrained = LOAD[name](written(tmp_path, name))
    images = arrays(name)["images"].transpose(0, 2, 3, 1)
    with jax.default_matmul_precision("highest"):
        found = jax.jit(pretrained.net.apply)({"params": pretrained.params}, images)
    np.testing.assert_allclose(found, arrays(name)["features"], rtol=1e-4, atol=2e-5)


def test_what_the_image_encoder_does_not_need_is_not_read(tmp_path):
    text = {"text_model.embeddings.position_ids": np.zeros((1, 4), np.int64)}
    text |= {"logit_scale": np.ones((1,), np.float32), "text_projection.weight": np.eye(2)}
    text["vision_model.embeddings.position_ids"] = np.arange(10)
    text = {n: x if x.dtype == np.int64 else x.astype(np.float32) for n, x in text.items()}
    with_text = load_clip(written(tmp_path, "clip", text), HEADS)
    assert with_text.net == LOAD["clip"](written(tmp_path, "clip")).net


def test_positions_of_the_own_size_stay_and_a_constant_stays_constant():
    positions = np.random.default_rng(0).standard_normal((26, 4)).astype(np.float32)
    assert interpolated(positions, 5) is positions
    smaller = interpolated(np.ones((26, 4), np.float32), 3)
    np.testing.assert_allclose(smaller, np.ones((10, 4)), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("dinov2", {"pos_embed": None}, "not a DINOv2 .* missing pos_embed"),
        ("dinov2", {"blocks.1.ls1.gamma": None}, r"missing blocks\.1\.ls1\.gamma"),
        ("dinov2", {"register_tokens": np.zeros((1, 4, 24), np.float32)}, "unknown register"),
        ("dinov2", {"pos_embed": np.zeros((1, 25, 24), np.float32)}, "form no square"),
        ("clip", {"visual_projection.weight": None}, "not a CLIP .* missing visual_projection"),
        ("clip", {"vision_model.post_layernorm.bias": np.zeros(3, np.float32)}, "has shape"),
    ],
)
def test_other_files_are_told(tmp_path, name, changes, message):
    with pytest.raises(UserError, match=message):
        LOAD[name](written(tmp_path, name, changes))


@pytest.mark.slow
def test_full_size_nets_have_as_many_parameters_as_the_published_ones():
    """As PyPI transformers 5.24.0 counts them: DINOv2 with the mask token of its pretraining."""
    sizes: dict[str, Any] = {"patch": 14, "width": 1024, "num_layers": 24, "num_heads": 16}
    sizes["mlp_width"] = 4096
    large = VisionTransformer(**sizes, epsilon=1e-6, layer_scale=True)
    assert parameters(large, 518) + 1024 == 304_368_640
    options = {"quick_gelu": True, "patch_bias": False, "norm_before": True, "joint_width": 768}
    assert parameters(VisionTransformer(**sizes, epsilon=1e-5, **options), 336) == 304_293_888


def parameters(net, side):
    shapes = layout.param_shapes(net, layout.image_batch(side))
    return sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("name", LOAD)
def test_a_missing_file_is_told(tmp_path, name):
    with pytest.raises(UserError, match="do not exist"):
        LOAD[name](tmp_path / "absent.pth")


def test_published_files_are_looked_up_and_fetched(tmp_path, monkeypatch):
    asked = []

    def fetch(address, path):
        asked.append(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not such a file")

    monkeypatch.setattr(vision, "fetch", fetch)
    for _ in range(2):
        with pytest.raises(UserError, match="is not a torch file"):
            spaces.open_space("dinov2", str(tmp_path))
        with pytest.raises(UserError, match="is not a torch file"):
            spaces.open_space("clip", str(tmp_path))
    assert asked == [dinov2.ADDRESS, clip.ADDRESS]
    path = tmp_path / clip.FOLDER / "pytorch_model.bin"
    fetching._write_note(path, "0" * 64, pathlib.Path(path).stat())
    path.write_bytes(b"changed since")
    with pytest.raises(UserError, match="is not the file that was fetched"):
        spaces.open_space("clip", str(tmp_path))


@pytest.mark.slow
def test_spaces_prepare_images_and_give_features(tmp_path):
    images = [measured.blobs(1, seed=seed)[0][0].repeat(9, axis=0) for seed in range(3)]
    for space in (
        dinov2_space(written(tmp_path, "dinov2"), SIDE, HEADS),
        clip_space(written(tmp_path, "clip"), HEADS),
    ):
        extractor = measured.extractor(space, 2)
        found = extractor.collect(extractor.stream(images), keep=space.needed)
        rows = found.rows[space.main]
        assert rows.shape == (3, space.dims[space.main]) and np.isfinite(rows).all()
        assert np.ptp(rows, axis=0).max() > 1e-3
        if space.name == "clip":
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
