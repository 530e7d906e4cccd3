"""LlamaGen's class-conditional transformer: a torch file, whole or of FSDP, or of its training.

Source: FoundationVision/LlamaGen `autoregressive/models/gpt.py`. Positions are computed, so that no
tensor tells the grid of tokens, or the number of heads: the first is in the file's name, the second
follows from the width.
"""

import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.checkpoints.released.llamagen_vqgan import SECTIONS
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import say
from vpt_gen.nets.llamagen import LlamaGen

_WHAT = "transformer of LlamaGen"
_CLASSES = "cls_embedding.embedding_table.weight"
_TOKENS = "tok_embeddings.weight"
_QKV = "attention.wqkv.weight"
# Its parts.
_INPUTS = ("query", "key", "value")
# A table of rotations that old files hold: one row for the class, and one for each token.
_ROTATIONS = "freqs_cis"
# Channels of a head, except in the largest published model.
_HEAD_SIZE = 64
_NUM_HEADS = {3200: 32}
# Pixels per token along each side, and the image side of a file whose name has none.
_DOWNSAMPLING = 16
_IMAGE_SIZE = 256
# Our modules of a layer -> the file's, without the matrices of attention's inputs.
_LAYER = {
    "attention/projection/kernel": "attention.wo.weight",
    "attention_norm/scale": "attention_norm.weight",
    "mlp_norm/scale": "ffn_norm.weight",
    "mlp_gate/kernel": "feed_forward.w1.weight",
    "mlp_in/kernel": "feed_forward.w3.weight",
    "mlp_out/kernel": "feed_forward.w2.weight",
}
_AROUND = {
    "condition_embeddings/embedding": _CLASSES,
    "token_embeddings/embedding": _TOKENS,
    "final_norm/scale": "norm.weight",
    "head/kernel": "output.weight",
}


def read(
    path: pathlib.Path, grid: int | None = None, num_heads: int | None = None
) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.llamagen.LlamaGen` and its parameters.

    Args:
      path: the file.
      grid: side of the grid of tokens; by default of images of the size in the file's name, or of
        the file's table of rotations if there is one.
      num_heads: of queries; by default those of the published models of that width.

    Raises:
      UserError: a missing file, tensors that such a net does not have, or a grid that is not that
        of the file's own table of rotations.
    """
    tensors = torch_file.tensors(path, SECTIONS)
    found = {name: value.shape for name, value in tensors.items() if name != _ROTATIONS}
    table = tensors[_ROTATIONS].shape if _ROTATIONS in tensors else ()
    rotated = max(table[0] - 1, 0) if table else None
    if grid is None and rotated and not _image_size(path):
        grid = round(rotated**0.5)
    fields, chosen = _fields(path, found, grid, num_heads)
    if rotated not in (None, fields["num_tokens"]):
        side = round(rotated**0.5)
        raise UserError(
            f"{path} has rotations of {rotated} tokens ({_ROTATIONS}), not of "
            f"{fields['num_tokens']}: set grid to {side} (--set=grid={side})."
        )
    with layout.expect(path, _WHAT):
        net = LlamaGen(**fields)
        ours = layout.param_shapes(net, layout.token_batch(1, 1), class_ids=layout.token_batch(1))
    layout.check(path, found, file_shapes(ours))
    if chosen:
        say(f"{path.name} does not tell {' or '.join(chosen)}.")
    params: dict[str, np.ndarray] = {}
    for name, parts in _parts(ours).items():
        values = layout.floats(path, name, tensors[name].read())
        rows = np.cumsum([_file_shape(part, ours[part])[0] for part in parts])[:-1]
        for part, own in zip(parts, np.split(values, rows), strict=True):
            own = own.T if part.endswith("/kernel") else own
            params[part] = np.ascontiguousarray(own.reshape(ours[part]))
    return fields, layout.nest(params)


def _fields(
    path: pathlib.Path, found: layout.Shapes, grid: int | None, num_heads: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Returns the net's fields, and sentences about those that had to be chosen."""
    gate = "layers.0.feed_forward.w1.weight"
    needed = (_CLASSES, _TOKENS, f"layers.0.{_QKV}", gate)
    layout.require(path, _WHAT, found, dict.fromkeys(needed, 2))
    codebook_size, width = found[_TOKENS]
    chosen = []
    if grid is None:
        image_size = _image_size(path)
        grid = (image_size or _IMAGE_SIZE) // _DOWNSAMPLING
        reason = f"as its name says {image_size}" if image_size else f"for {_IMAGE_SIZE}"
        chosen.append(
            f"its grid of tokens (taken as {grid}x{grid}, {reason} pixels; --set=grid={grid} sets "
            "it)"
        )
    if num_heads is None:
        num_heads = _NUM_HEADS.get(width, max(1, width // _HEAD_SIZE))
        chosen.append(
            f"its heads (taken as {num_heads} for the width {width}; --set=num_heads={num_heads} "
            "sets them)"
        )
    if width % (4 * num_heads):
        raise UserError(
            f"{path} has width {width}, which does not give {num_heads} heads a multiple of 4: "
            "set num_heads."
        )
    of_keys = found[f"layers.0.{_QKV}"][0] - width
    num_key_heads = of_keys // 2 // (width // num_heads)
    return {
        "codebook_size": codebook_size,
        "num_classes": found[_CLASSES][0] - 1,
        "num_tokens": grid * grid,
        "num_layers": layout.count(
            lambda layer: any(name.startswith(f"layers.{layer}.") for name in found)
        ),
        "hidden_size": width,
        "num_heads": num_heads,
        "num_key_heads": 0 if num_key_heads == num_heads else num_key_heads,
        "intermediate_size": found[gate][0],
    }, chosen


def _image_size(path: pathlib.Path) -> int | None:
    """Returns the image side in a name such as c2i_B_384.pt; None if there is none."""
    sizes = re.findall(r"(?<!\d)(?:256|384|512)(?!\d)", path.stem)
    return int(sizes[-1]) if sizes else None


def file_shapes(ours: layout.Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the file's names and shapes of parameters of ours."""
    shapes = {}
    for name, parts in _parts(ours).items():
        rows = [_file_shape(part, ours[part]) for part in parts]
        shapes[name] = (sum(shape[0] for shape in rows), *rows[0][1:])
    return shapes


def _parts(ours: layout.Shapes) -> dict[str, list[str]]:
    """Returns each of the file's names with its parts in our net, in their order."""
    parts: dict[str, list[str]] = {}
    for name in ours:
        parts.setdefault(_file_name(name), []).append(name)
    for names in parts.values():
        if len(names) > 1:
            names.sort(key=lambda name: _INPUTS.index(name.split("/")[-2]))
    return parts


def _file_name(path: str) -> str:
    """'block_3/attention/query/kernel' -> 'layers.3.attention.wqkv.weight'."""
    if path in _AROUND:
        return _AROUND[path]
    block, _, module = path.partition("/")
    return f"layers.{block.removeprefix('block_')}.{_LAYER.get(module, _QKV)}"


def _file_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Torch's shape: matrices (out, in), heads in the width."""
    if not path.endswith("/kernel"):
        return shape
    inputs = 2 if path.endswith("/projection/kernel") else 1
    return int(np.prod(shape[inputs:])), int(np.prod(shape[:inputs]))
