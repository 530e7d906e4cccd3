"""CLIP's image encoder, from Hugging Face's file of ViT-L/14 at 336 pixels."""

import pathlib

import numpy as np

from vpt_gen.checkpoints import vision
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.released import layout
from vpt_gen.nets.vision_transformer import VisionTransformer

_REPOSITORY = "https://huggingface.co/openai/clip-vit-large-patch14-336"
ADDRESS = f"{_REPOSITORY}/resolve/main/pytorch_model.bin"
FOLDER = "clip-vit-large-patch14-336"  # of weights: the file's own name says nothing

_WHAT = "CLIP image encoder"
_EMBEDDINGS, _LAYERS = "vision_model.embeddings", "vision_model.encoder.layers"
_PATCHES = f"{_EMBEDDINGS}.patch_embedding.weight"
_POSITIONS = f"{_EMBEDDINGS}.position_embedding.weight"
_JOINT = "visual_projection.weight"
_UNUSED = ("text_model.", "text_projection.", "logit_scale", f"{_EMBEDDINGS}.position_ids")
_NAMES = {
    "patches/kernel": _PATCHES,
    "class_token": f"{_EMBEDDINGS}.class_embedding",
    "positions": _POSITIONS,
    "joint/kernel": _JOINT,
}
_MODULES = {
    "norm_before": "vision_model.pre_layrnorm",
    "norm": "vision_model.post_layernorm",
    "attention_norm": "layer_norm1",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "projection": "self_attn.out_proj",
    "mlp_norm": "layer_norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
}


def load_clip(path: str | pathlib.Path, num_heads: int | None = None) -> PretrainedNet:
    """Reads the `VisionTransformer` of a CLIP, with its projection to the joint space.

    Args:
      path: a torch file with transformers' names; those of the text encoder are not read. Its
        digest may differ from the published one's, as for test weights.
      num_heads: of attention; one for 64 channels by default.

    Raises:
      UserError: the file is missing or not such a file.
    """
    path = pathlib.Path(path)
    tensors = vision.tensors(path, _UNUSED)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    hidden = f"{_LAYERS}.0.mlp.fc1.weight"
    layout.require(path, _WHAT, found, {_PATCHES: 4, _POSITIONS: 2, _JOINT: 2, hidden: 2})
    width, _, patch, _ = found[_PATCHES]
    side = patch * int(np.sqrt(found[_POSITIONS][0] - 1))
    with layout.expect(path, _WHAT):
        net = VisionTransformer(
            patch=patch,
            width=width,
            num_layers=layout.count(lambda i: f"{_LAYERS}.{i}.mlp.fc1.weight" in found),
            num_heads=vision.heads(width, num_heads),
            mlp_width=found[hidden][0],
            epsilon=1e-5,
            quick_gelu=True,
            patch_bias=False,
            norm_before=True,
            joint_width=found[_JOINT][0],
        )
    return vision.convert(path, net, tensors, _file_name, side, {}, lambda _, values: values)


def _file_name(key: str) -> str:
    """Path of a parameter -> transformers' name."""
    if key in _NAMES:
        return _NAMES[key]
    *layer, module, kind = key.split("/")
    block = f"{_LAYERS}.{layer[0].removeprefix('layer_')}." if layer else ""
    return f"{block}{_MODULES[module]}.{'bias' if kind == 'bias' else 'weight'}"
