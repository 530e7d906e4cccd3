"""DINOv2's ViT-L/14, from the file that torch hub uses."""

import math
import pathlib

import numpy as np

from vpt_gen.checkpoints import vision
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.released import layout
from vpt_gen.errors import UserError
from vpt_gen.nets.vision_transformer import VisionTransformer

FILE = "dinov2_vitl14_pretrain.pth"
ADDRESS = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{FILE}"

_WHAT = "DINOv2 vision transformer"
_PATCHES, _POSITIONS = "patch_embed.proj.weight", "pos_embed"
_UNUSED = ("mask_token",)  # of pretraining
_NAMES = {
    "class_token": "cls_token",
    "positions": _POSITIONS,
    "attention_scale": "ls1.gamma",
    "mlp_scale": "ls2.gamma",
}
_MODULES = {
    "patches": "patch_embed.proj",
    "norm": "norm",
    "attention_norm": "norm1",
    "query": "attn.qkv",
    "key": "attn.qkv",
    "value": "attn.qkv",
    "projection": "attn.proj",
    "mlp_norm": "norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
}
_PARTS = ("query", "key", "value")
# As released: it keeps rounding from changing the number of positions, and moves all of them.
_OFFSET = 0.1
_SHARPNESS = -0.75  # of torch's bicubic interpolation


def load_dinov2(path: str | pathlib.Path, side: int, num_heads: int | None = None) -> PretrainedNet:
    """Reads a `VisionTransformer` for images of a side, from a file of DINOv2 without registers.

    Args:
      path: a torch file with the published names; its digest may differ, as for test weights.
      side: of the images, a multiple of the patch. The positions of the file's own size are
        interpolated as released.
      num_heads: of attention; one for 64 channels by default.

    Raises:
      UserError: the file is missing or not such a file.
    """
    path = pathlib.Path(path)
    tensors = vision.tensors(path, _UNUSED)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    hidden = "blocks.0.mlp.fc1.weight"
    layout.require(path, _WHAT, found, {_PATCHES: 4, _POSITIONS: 3, hidden: 2})
    width, _, patch, _ = found[_PATCHES]
    with layout.expect(path, _WHAT):
        net = VisionTransformer(
            patch=patch,
            width=width,
            num_layers=layout.count(lambda i: f"blocks.{i}.norm1.weight" in found),
            num_heads=vision.heads(width, num_heads),
            mlp_width=found[hidden][0],
            epsilon=1e-6,
            layer_scale=True,
        )
        shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, width)}
        shapes[_POSITIONS] = (1, _square(found[_POSITIONS][1] - 1) ** 2 + 1, width)
        for number in range(net.num_layers):
            shapes[f"blocks.{number}.attn.qkv.weight"] = (3 * width, width)
            shapes[f"blocks.{number}.attn.qkv.bias"] = (3 * width,)

        def read(key: str, values: np.ndarray) -> np.ndarray:
            module = key.split("/")[-2] if "/" in key else key
            if module in _PARTS:
                start = _PARTS.index(module) * width
                return values[start : start + width]
            return interpolated(values[0], side // patch) if key == "positions" else values

        return vision.convert(path, net, tensors, _file_name, side, shapes, read)


def _square(count: int) -> int:
    side = math.isqrt(count)
    if side**2 != count:
        raise UserError(f"{count} positions form no square")
    return side


def _file_name(key: str) -> str:
    """Path of a parameter -> the name of the tensor that holds it."""
    *modules, kind = key.split("/")
    layer = modules[0].removeprefix("layer_") if modules and modules[0] not in _MODULES else ""
    if kind in _NAMES:
        name = _NAMES[kind]
    else:
        name = f"{_MODULES[modules[-1]]}.{'bias' if kind == 'bias' else 'weight'}"
    return f"blocks.{layer}.{name}" if layer else name


def interpolated(positions: np.ndarray, side: int) -> np.ndarray:
    """Resizes position embeddings as DINOv2 does for images of other sizes than its own.

    Bicubic as in torch, not antialiased, as if the new side were 0.1 longer.

    Args:
      positions: (1 + N * N, D), the class token's first.
      side: of the new grid.

    Returns:
      (1 + side * side, D).
    """
    old, width = _square(len(positions) - 1), positions.shape[1]
    if old == side:
        return positions
    weights = _bicubic(old, side, old / (side + _OFFSET))
    grid = positions[1:].astype(np.float64).reshape(old, old, width)
    resized = np.einsum("ai,bj,ijd->abd", weights, weights, grid, optimize=True)
    return np.concatenate([positions[:1], resized.reshape(-1, width).astype(np.float32)])


def _bicubic(old: int, new: int, ratio: float) -> np.ndarray:
    """Returns weights (new, old) of torch's bicubic rule; pixels beyond the edge repeat it."""
    centers = (np.arange(new) + 0.5) * ratio - 0.5
    weights = np.zeros((new, old))
    for tap in range(-1, 3):
        pixels = np.floor(centers).astype(int) + tap
        distances, a = np.abs(pixels - centers), _SHARPNESS
        near = ((a + 2) * distances - (a + 3)) * distances**2 + 1
        far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
        values = np.where(distances <= 1, near, np.where(distances < 2, far, 0.0))
        np.add.at(weights, (np.arange(new), np.clip(pixels, 0, old - 1)), values)
    return weights
