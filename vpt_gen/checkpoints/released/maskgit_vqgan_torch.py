"""MaskGIT's tokenizer in PyTorch: a torch file of a flat state dict.

Source: bytedance/1d-tokenizer `modeling/maskgit_vqgan.py`, which is openMUSE's port. The net is
that of `nets/vqgan.py`, except that its pooling drops an odd row or column at the edge.
"""

import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.nets.vqgan import VQGAN

_WHAT = "PyTorch tokenizer of MaskGIT"
_CODEBOOK = "quantize.embedding.weight"
# Modules of a block, ours -> the file's.
_BLOCK = {
    "GroupNorm_0": "norm1",
    "Conv_0": "conv1",
    "GroupNorm_1": "norm2",
    "Conv_1": "conv2",
    "Conv_2": "nin_shortcut",
}


def read(path: pathlib.Path) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.vqgan.VQGAN` and its parameters.

    Raises:
      UserError: a missing file, or tensors that such a net does not have.
    """
    tensors = torch_file.tensors(path)
    found = {name: value.shape for name, value in tensors.items()}
    fields = _fields(path, found)
    with layout.expect(path, _WHAT):
        net = VQGAN(**fields)
        ours = layout.param_shapes(net, layout.image_batch(net.downsampling))
    levels, blocks = len(net.channel_multipliers), net.num_res_blocks
    names = {name: file_name(name, levels, blocks) for name in ours}
    layout.check(path, found, {names[name]: _torch_shape(shape) for name, shape in ours.items()})
    params = {}
    for name in ours:
        values = layout.floats(path, names[name], tensors[names[name]].read())
        own = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values
        params[name] = np.ascontiguousarray(own)
    return fields, layout.nest(params)


def _fields(path: pathlib.Path, found: layout.Shapes) -> dict[str, Any]:
    def number(module: str) -> int:
        return layout.count(lambda i: any(name.startswith(f"{module}.{i}.") for name in found))

    levels, blocks = max(number("encoder.down"), 1), number("encoder.mid")
    first = "encoder.conv_in.weight"
    widths = [f"encoder.down.{level}.block.0.conv1.weight" for level in range(levels)]
    layout.require(path, _WHAT, found, {**dict.fromkeys((first, *widths), 4), _CODEBOOK: 2})
    filters = found[first][0]
    return {
        "filters": filters,
        "channel_multipliers": tuple(found[width][0] // filters for width in widths),
        "num_res_blocks": blocks,
        "embedding_dim": found[_CODEBOOK][1],
        "codebook_size": found[_CODEBOOK][0],
        "drops_odd_edges": True,
    }


def file_name(path: str, levels: int, blocks: int) -> str:
    """'decoder/ResBlock_0/Conv_0/kernel' -> 'decoder.mid.0.conv1.weight'."""
    if path == "quantizer/codebook":
        return _CODEBOOK
    part, module, *inner, leaf = path.split("/")
    leaf = "bias" if leaf == "bias" else "weight"
    match = re.fullmatch(r"(\w+)_(\d+)", module)
    assert match is not None  # Flax numbers all modules of these.
    kind, number = match[1], int(match[2])
    if kind == "GroupNorm":
        where = "norm_out"
    elif kind == "Conv":
        where = _convolution(part, number, levels)
    else:
        where = f"{_block(part, number, levels, blocks)}.{_BLOCK[inner[0]]}"
    return f"{part}.{where}.{leaf}"


def _convolution(part: str, number: int, levels: int) -> str:
    last = 1 if part == "encoder" else levels
    if number in (0, last):
        return "conv_in" if number == 0 else "conv_out"
    return f"up.{levels - number}.upsample_conv"


def _block(part: str, number: int, levels: int, blocks: int) -> str:
    """The encoder ends with the blocks in the middle; the decoder begins with them."""
    level, block = divmod(number, blocks)
    if part == "encoder":
        return f"mid.{block}" if level == levels else f"down.{level}.block.{block}"
    return f"up.{levels - level}.block.{block}" if level else f"mid.{block}"


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 4:
        return shape
    height, width, inputs, outputs = shape
    return outputs, inputs, height, width
