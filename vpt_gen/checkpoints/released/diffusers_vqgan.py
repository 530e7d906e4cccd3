"""The VQGAN in Hugging Face diffusers' form: a `VQModel`, as safetensors or as a torch file.

Source: huggingface/diffusers `VQModel`. The tensors are those of Taming Transformers' VQGAN under
other names; attention projections are matrices instead of 1x1 convolutions.
"""

import contextlib
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors

from vpt_gen.checkpoints.released import (
    layout,
    taming_vqgan,
    torch_file,
)
from vpt_gen.errors import UserError
from vpt_gen.nets.group_norm import NUM_GROUPS

WEIGHTS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
# Values of `config.json` that no shape tells, as the net has them.
_BUILT_IN = {"norm_num_groups": NUM_GROUPS, "norm_type": "group", "act_fn": "silu"}

_ENCODER_LEVEL = re.compile(r"encoder\.down_blocks\.(\d+)\.")
# Modules of an attention block, as written since diffusers 0.15, and before.
_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_OLD_ATTENTION = {
    "norm": "group_norm",
    "q": "query",
    "k": "key",
    "v": "value",
    "proj_out": "proj_attn",
}


def read(
    path: pathlib.Path,
    resolution: int = taming_vqgan.PUBLISHED_RESOLUTION,
    attn_resolutions: Sequence[int] | None = None,
) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.taming_vqgan.TamingVQGAN` and its parameters.

    Args:
      path: the weights or their folder; `config.json` next to them is compared.
      resolution: see `taming_vqgan.read`.
      attn_resolutions: see `taming_vqgan.read`.

    Raises:
      UserError: a missing file, or tensors or settings that such a net does not have.
    """
    file = _weights_file(path)
    _check_config(file.with_name("config.json"))
    with contextlib.ExitStack() as stack:
        shapes, read_tensor = (
            open_safetensors(file, stack) if file.suffix == ".safetensors" else open_torch(file)
        )
        levels = len({match[1] for match in map(_ENCODER_LEVEL.match, shapes) if match})
        is_old = any(".proj_attn." in name for name in shapes)
        attention = _OLD_ATTENTION if is_old else _ATTENTION
        fields, params = taming_vqgan.convert(
            file,
            "VQModel of diffusers",
            shapes,
            read_tensor,
            lambda module: _module_name(module, levels, attention),
            attention_is_linear=True,
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


def _check_config(path: pathlib.Path) -> None:
    """Raises UserError if the config next to the weights has settings that the net lacks."""
    if not path.is_file():
        return
    try:
        config = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not a config of diffusers ({error}); refetch it.") from error
    for name, value in _BUILT_IN.items():
        if config.get(name, value) != value:
            raise UserError(f"{path} has {name} {config[name]}; only {value} is supported.")


def open_safetensors(file, stack):
    """Returns the shapes of all tensors, and a function that reads one while the stack is open."""
    try:
        # The NumPy framework has no bfloat16.
        tensors = stack.enter_context(safetensors.safe_open(file, framework="flax"))
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{file} is not a safetensors file, or is incomplete ({error}); fetch it again."
        ) from error

    def read_tensor(name):
        try:
            return np.asarray(tensors.get_tensor(name))
        except (safetensors.SafetensorError, AttributeError, TypeError) as error:
            kind = tensors.get_slice(name).get_dtype()
            raise UserError(f"{file}: {name} of type {kind} cannot be read ({error}).") from error

    return shapes, read_tensor


def open_torch(file) -> tuple[layout.Shapes, Callable[[str], np.ndarray]]:
    """The same as `open_safetensors`, of a torch file."""
    tensors = torch_file.tensors(file)
    return {name: value.shape for name, value in tensors.items()}, lambda x: tensors[x].read()


def _module_name(path: str, levels: int, attention: Mapping[str, str]) -> str:
    """'decoder/up_0_attn_1/q' -> 'decoder.up_blocks.<levels - 1>.attentions.1.to_q'."""
    name = taming_vqgan.module_name(path)
    name = re.sub(r"^encoder\.down\.", "encoder.down_blocks.", name)
    # The decoder's levels are counted from the other end.
    name = re.sub(
        r"^decoder\.up\.(\d+)",
        lambda match: f"decoder.up_blocks.{levels - 1 - int(match[1])}",
        name,
    )
    name = name.replace(".downsample.", ".downsamplers.0.").replace(".upsample.", ".upsamplers.0.")
    name = re.sub(
        r"\.mid\.block_(\d)", lambda match: f".mid_block.resnets.{int(match[1]) - 1}", name
    )
    name = name.replace(".mid.attn_1", ".mid_block.attentions.0")
    name = name.replace(".block.", ".resnets.").replace(".attn.", ".attentions.")
    name = name.replace("nin_shortcut", "conv_shortcut").replace("norm_out", "conv_norm_out")
    place, within, module = name.partition("attentions.")
    number, dot, module = module.partition(".")
    return place + within + number + dot + attention.get(module, module)
