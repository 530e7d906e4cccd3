"""The VQGAN of Taming Transformers: a PyTorch Lightning `.ckpt`.

Source: CompVis/taming-transformers. The tensors are at the top level (a VQGAN's own checkpoint) or
under `first_stage_model.` (a transformer's). Those of the training loss are ignored.
"""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.taming_vqgan import TamingVQGAN

PUBLISHED_RESOLUTION = 256
_FIRST_STAGE = "first_stage_model."


def read(
    path: pathlib.Path,
    resolution: int = PUBLISHED_RESOLUTION,
    attn_resolutions: Sequence[int] | None = None,
) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.taming_vqgan.TamingVQGAN` and its parameters.

    Args:
      path: the file.
      resolution: image side in the release's config; only for `attn_resolutions`.
      attn_resolutions: sides of the feature maps with attention in that config. They follow from
        the tensors; if given, they are compared.

    Raises:
      UserError: a missing file, or tensors that such a net does not have.
    """
    tensors = torch_file.tensors(path)
    prefix = _FIRST_STAGE if any(name.startswith(_FIRST_STAGE) for name in tensors) else ""
    shapes = {
        name: value.shape
        for name, value in tensors.items()
        if name.startswith(prefix) and not name.startswith(f"{prefix}loss.")
    }
    fields, params = convert(
        path,
        "VQGAN of Taming Transformers",
        shapes,
        lambda name: tensors[name].read(),
        lambda module: prefix + module_name(module),
    )
    check_attention(path, fields, resolution, attn_resolutions)
    return fields, params


def check_attention(
    path: pathlib.Path,
    fields: dict[str, Any],
    resolution: int,
    attn_resolutions: Sequence[int] | None,
) -> None:
    """Raises UserError if a config's attention differs from the tensors'."""
    found = sorted(resolution >> level for level in fields["attention_levels"])
    if attn_resolutions is not None and sorted(attn_resolutions) != found:
        raise UserError(
            f"{path} has attention at resolutions {found} of images of {resolution} pixels, not at "
            f"{sorted(attn_resolutions)}; give attn_resolutions together with resolution."
        )


def convert(
    path: pathlib.Path,
    what: str,
    found: layout.Shapes,
    read_tensor: Callable[[str], np.ndarray],
    name_module: Callable[[str], str],
    attention_is_linear: bool = False,
    net: type[TamingVQGAN] = TamingVQGAN,
) -> tuple[dict[str, Any], Any]:
    """Returns fields and parameters from PyTorch's tensors of this net.

    Args:
      path: for messages.
      what: name of the net and format, for messages.
      found: shapes of the file's tensors.
      read_tensor: name -> values; called once for each tensor.
      name_module: path of our module -> its name in the file.
      attention_is_linear: attention's projections are matrices, not 1x1 convolutions.
      net: the class of the net.

    Raises:
      UserError: missing, unknown or misshapen tensors.
    """
    fields = _fields(path, what, found, name_module)
    with layout.expect(path, what):
        built = net(**fields)
        shapes = layout.param_shapes(built, layout.image_batch(built.downsampling))
    names = {ours: _tensor_name(ours, name_module) for ours in shapes}
    expected = {
        names[ours]: _torch_shape(shape, attention_is_linear and "_attn_" in ours)
        for ours, shape in shapes.items()
    }
    layout.check(path, found, expected)
    return fields, layout.nest(
        {
            ours: layout.floats(path, names[ours], _our_axes(read_tensor(names[ours]), shape))
            for ours, shape in shapes.items()
        }
    )


def _fields(path, what, found: layout.Shapes, name_module) -> dict[str, Any]:
    def is_there(module):
        return any(name.startswith(f"{name_module(module)}.") for name in found)

    levels = layout.count(lambda level: is_there(f"encoder/down_{level}_block_0"))
    codebook, conv_in, conv_out, *widths = (
        _tensor_name(path, name_module)
        for path in (
            "quantizer/codebook",
            "encoder/conv_in/kernel",
            "encoder/conv_out/kernel",
            *(f"encoder/down_{level}_block_0/conv1/kernel" for level in range(max(levels, 1))),
        )
    )
    needed = {codebook: 2, **dict.fromkeys((conv_in, conv_out, *widths), 4)}
    layout.require(path, what, found, needed)
    filters = found[conv_in][0]
    return {
        "filters": filters,
        "channel_multipliers": tuple(found[width][0] // filters for width in widths),
        "num_res_blocks": layout.count(lambda block: is_there(f"encoder/down_0_block_{block}")),
        "attention_levels": tuple(
            level for level in range(levels) if is_there(f"encoder/down_{level}_attn_0")
        ),
        "latent_channels": found[conv_out][0],
        "embedding_dim": found[codebook][1],
        "codebook_size": found[codebook][0],
    }


def module_name(path: str) -> str:
    """'encoder/down_0_block_1/norm1' -> 'encoder.down.0.block.1.norm1'."""
    path = re.sub(r"/(down|up)_(\d+)_(block|attn)_(\d+)", r"/\1/\2/\3/\4", path)
    path = re.sub(r"/(down|up)_(\d+)_(downsample|upsample)", r"/\1/\2/\3", path)
    return path.replace("/mid_", "/mid/").replace("/", ".")


def _tensor_name(path: str, name_module: Callable[[str], str]) -> str:
    if path == "quantizer/codebook":
        return name_module("quantize/embedding") + ".weight"
    module, _, leaf = path.rpartition("/")
    return f"{name_module(module)}.{'bias' if leaf == 'bias' else 'weight'}"


def _torch_shape(shape: tuple[int, ...], is_linear: bool) -> tuple[int, ...]:
    """Convolutions (height, width, in, out) -> (out, in, height, width), or (out, in) if linear."""
    if len(shape) != 4:
        return shape
    height, width, inputs, outputs = shape
    return (outputs, inputs) if is_linear else (outputs, inputs, height, width)


def _our_axes(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_torch_shape`, for values."""
    if len(shape) != 4:
        return values
    height, width, inputs, outputs = shape
    return values.reshape(outputs, inputs, height, width).transpose(2, 3, 1, 0)
