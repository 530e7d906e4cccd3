"""The VQGAN in Hugging Face diffusers' form: a `VQModel`, as safetensors or as a torch file.

Source: huggingface/diffusers `VQModel`. The tensors are those of Taming Transformers' VQGAN under
other names; attention projections are matrices instead of 1x1 convolutions.
"""

import contextlib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import safetensors

from vpt_gen.checkpoints.released import layout, taming_vqgan, torch_file
from vpt_gen.errors import UserError

WEIGHTS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

# As written since diffusers 0.15, and before.
_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}


def read(
    path: pathlib.Path,
    resolution: int = taming_vqgan.PUBLISHED_RESOLUTION,
    attn_resolutions: Sequence[int] | None = None,
) -> tuple[dict[str, Any], Any]:
    """Fields of `nets.taming_vqgan.TamingVQGAN` and its parameters.

    Args:
      path: the weights, or the folder that holds them.
      resolution: see `taming_vqgan.read`.
      attn_resolutions: see `taming_vqgan.read`.

    Raises:
      UserError: no such file, or tensors that such a net has not.
    """
    file = _weights_file(path)
    with contextlib.ExitStack() as stack:
        their_shapes, read_tensor = (
            _open_safetensors(file, stack) if file.suffix == ".safetensors" else _open_torch(file)
        )
        levels = layout.count(their_shapes, lambda i: f"encoder.down_blocks.{i}.")
        theirs = {_taming_name(name, levels): name for name in their_shapes}
        shapes = {name: _four_axes(name, their_shapes[theirs[name]]) for name in theirs}
        fields, params = taming_vqgan.convert(
            file, shapes, lambda name: read_tensor(theirs[name]).reshape(shapes[name])
        )
    taming_vqgan.check_attention(file, fields, resolution, attn_resolutions)
    return fields, params


def _weights_file(path: pathlib.Path) -> pathlib.Path:
    if not path.is_dir():
        return path
    for name in WEIGHTS_FILES:
        if (path / name).is_file():
            return path / name
    raise UserError(f"{path} holds no {' or '.join(WEIGHTS_FILES)}; name the file or its folder.")


def _open_safetensors(file, stack):
    """Shapes of all tensors, and the function that reads one while the stack is open."""
    try:
        tensors = stack.enter_context(safetensors.safe_open(file, framework="numpy"))
    except safetensors.SafetensorError as error:
        raise UserError(
            f"{file} is no safetensors file, or an incomplete one ({error}); fetch it again."
        ) from error
    names = tensors.keys()
    shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    return shapes, tensors.get_tensor


def _open_torch(file):
    tensors = torch_file.tensors(file)
    return {name: value.shape for name, value in tensors.items()}, lambda x: tensors[x].read()


def _taming_name(name: str, levels: int) -> str:
    name = re.sub(r"^encoder\.down_blocks\.(\d+)", r"encoder.down.\1", name)
    # The decoder's levels are counted from the other end.
    name = re.sub(
        r"^decoder\.up_blocks\.(\d+)",
        lambda match: f"decoder.up.{levels - 1 - int(match[1])}",
        name,
    )
    name = name.replace(".downsamplers.0.", ".downsample.").replace(".upsamplers.0.", ".upsample.")
    name = re.sub(
        r"\.mid_block\.resnets\.(\d+)", lambda match: f".mid.block_{int(match[1]) + 1}", name
    )
    name = name.replace(".mid_block.attentions.0.", ".mid.attn_1.")
    name = name.replace(".resnets.", ".block.").replace(".attentions.", ".attn.")
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    attention = re.match(r"(.*\.attn[._]\d+)\.(.+)\.(weight|bias)$", name)
    if attention:
        place, module, leaf = attention.groups()
        name = f"{place}.{_ATTENTION.get(module, module)}.{leaf}"
    return name


def _four_axes(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape as a 1x1 convolution, where the tensor is a matrix of attention."""
    is_matrix = len(shape) == 2 and ".attn" in name
    return (*shape, 1, 1) if is_matrix else shape
