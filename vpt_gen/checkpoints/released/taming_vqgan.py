"""The VQGAN of Taming Transformers: a PyTorch Lightning `.ckpt`.

Source: CompVis/taming-transformers. The tensors stand at the top (a VQGAN's own checkpoint) or
under `first_stage_model.` (a transformer's). Those of the training loss are passed over.
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
    """Fields of `nets.taming_vqgan.TamingVQGAN` and its parameters.

    Args:
      path: the file.
      resolution: image side that the release's config names.
      attn_resolutions: sides of the feature maps with attention in that config. The tensors tell
        them; where given, they are compared.

    Raises:
      UserError: no such file, or tensors that such a net has not.
    """
    tensors = torch_file.tensors(path)
    if any(name.startswith(_FIRST_STAGE) for name in tensors):
        tensors = {
            name.removeprefix(_FIRST_STAGE): value
            for name, value in tensors.items()
            if name.startswith(_FIRST_STAGE)
        }
    tensors = {name: value for name, value in tensors.items() if not name.startswith("loss.")}
    shapes = {name: value.shape for name, value in tensors.items()}
    fields, params = convert(path, shapes, lambda name: tensors[name].read())
    check_attention(path, fields, resolution, attn_resolutions)
    return fields, params


def check_attention(
    path: pathlib.Path,
    fields: dict[str, Any],
    resolution: int,
    attn_resolutions: Sequence[int] | None,
) -> None:
    """Raises UserError where a config's attention is not the tensors'."""
    found = sorted(resolution >> level for level in fields["attention_levels"])
    if attn_resolutions is not None and sorted(attn_resolutions) != found:
        raise UserError(
            f"{path} has attention at resolutions {found} of {resolution}, not at "
            f"{sorted(attn_resolutions)}."
        )


def convert(
    path: pathlib.Path, shapes: layout.Shapes, read_tensor: Callable[[str], np.ndarray]
) -> tuple[dict[str, Any], Any]:
    """Fields and parameters from tensors with the release's names.

    Args:
      path: for messages.
      shapes: of every tensor, in PyTorch's axis order.
      read_tensor: name -> values; called once for each tensor that is needed.

    Raises:
      UserError: missing, unknown or misshapen tensors.
    """
    try:
        fields = _fields(shapes)
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path} is no VQGAN of Taming Transformers: it lacks {error}.") from error
    net = TamingVQGAN(**fields)
    expected = layout.param_shapes(net, layout.image_batch(net.downsampling))
    ours = {_our_name(name): name for name in shapes}
    layout.check(path, {k: _our_shape(shapes[v]) for k, v in ours.items()}, expected)
    return fields, layout.nest({k: _our_axes(read_tensor(v)) for k, v in ours.items()})


def _fields(shapes: layout.Shapes) -> dict[str, Any]:
    levels = layout.count(shapes, lambda i: f"encoder.down.{i}.")
    filters = shapes["encoder.conv_in.weight"][0]
    widths = [shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in range(levels)]
    codebook_size, embedding_dim = shapes["quantize.embedding.weight"]
    with_attention = [
        level
        for level in range(levels)
        if any(name.startswith(f"encoder.down.{level}.attn.") for name in shapes)
    ]
    return {
        "filters": filters,
        "channel_multipliers": tuple(width // filters for width in widths),
        "num_res_blocks": layout.count(shapes, lambda i: f"encoder.down.0.block.{i}."),
        "attention_levels": tuple(with_attention),
        "latent_channels": shapes["encoder.conv_out.weight"][0],
        "embedding_dim": embedding_dim,
        "codebook_size": codebook_size,
    }


def _our_name(name: str) -> str:
    """'encoder.down.0.block.1.norm1.weight' -> 'encoder/down_0_block_1/norm1/scale'."""
    if name == "quantize.embedding.weight":
        return "quantizer/codebook"
    *modules, leaf = name.split(".")
    path = "/".join(modules)
    path = re.sub(r"/(down|up)/(\d+)/(block|attn)/(\d+)", r"/\1_\2_\3_\4", path)
    path = re.sub(r"/(down|up)/(\d+)/(downsample|upsample)", r"/\1_\2_\3", path)
    path = path.replace("/mid/", "/mid_")
    is_norm = modules[-1].startswith("norm")
    return f"{path}/{'bias' if leaf == 'bias' else 'scale' if is_norm else 'kernel'}"


def _our_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else tuple(shape)


def _our_axes(values: np.ndarray) -> np.ndarray:
    """Convolutions (out, in, height, width) -> (height, width, in, out); others as they are."""
    values = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values
    return np.array(values, np.float32)
