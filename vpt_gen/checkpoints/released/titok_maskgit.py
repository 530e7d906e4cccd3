"""TiTok's generators: torch files of a flat state dict, of a BERT or of a UViT.

Source: bytedance/1d-tokenizer `modeling/maskgit.py`; the BERT is that of Hugging Face transformers.
The vocabulary is one table: codes, mask, classes, none. BERT's two token types are not used: the
first is added to all positions, and here to the table of positions.
"""

import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT

_WHAT = "generator of TiTok"
_NUM_HEADS = 16  # of all published models, whatever their width.
_BERT_TYPES = "model.embeddings.token_type_embeddings.weight"
# Names of the vocabulary, the positions and the head.
_BERT = (
    "model.embeddings.word_embeddings.weight",
    "model.embeddings.position_embeddings.weight",
    "model.lm_head",
)
_UVIT = ("embeddings.weight", "pos_embed", "lm_head")
# Our modules -> the file's: in a layer of a BERT or of a UViT, and around the layers.
_BERT_MODULES = {
    **{f"attention/{name}": f"attention.self.{name}" for name in layout.INPUTS},
    "attention/out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp_in": "intermediate.dense",
    "mlp_out": "output.dense",
    "mlp_norm": "output.LayerNorm",
    "embeddings_norm": "model.embeddings.LayerNorm",
}
_UVIT_MODULES = {
    **{f"attention/{name}": "attn.qkv" for name in layout.INPUTS},
    "attention/out": "attn.proj",
    "attention_norm": "norm1",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
    "mlp_norm": "norm2",
    "final_norm": "norm",
}


def read(path: pathlib.Path, num_heads: int | None = None) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.titok_maskgit.TiTokMaskGIT` and its parameters.

    Args:
      path: the file.
      num_heads: attention heads; by default 16, as published.

    Raises:
      UserError: a missing file, or tensors that such a net does not have.
    """
    tensors = torch_file.tensors(path)
    found = {name: value.shape for name, value in tensors.items()}
    fields = _fields(path, found, num_heads or _NUM_HEADS)
    with layout.expect(path, _WHAT):
        ours = layout.param_shapes(
            TiTokMaskGIT(**fields), layout.token_batch(1, fields["num_tokens"])
        )
    layout.check(path, found, file_shapes(fields, ours))
    params = {}
    for name, shape in ours.items():
        origin, rows = _origin(name, fields)
        values = layout.floats(path, origin, tensors[origin].read())
        values = values.reshape(-1, values.shape[-1])[rows] if values.ndim > 1 else values[rows]
        if origin == _BERT[1]:
            values = values + layout.floats(path, _BERT_TYPES, tensors[_BERT_TYPES].read())[0]
        params[name] = np.ascontiguousarray(layout.from_torch(name, values, shape))
    return fields, layout.nest(params)


def _fields(path: pathlib.Path, found: layout.Shapes, num_heads: int) -> dict[str, Any]:
    is_uvit = _UVIT[0] in found
    vocabulary, positions, head = _names(is_uvit)
    hidden = (
        "mid_block.mlp.fc1.weight" if is_uvit else "model.encoder.layer.0.intermediate.dense.weight"
    )
    needed = {vocabulary: 2, positions: 3 if is_uvit else 2, f"{head}.weight": 2, hidden: 2}
    layout.require(path, _WHAT, found, needed if is_uvit else {**needed, _BERT_TYPES: 2})
    (rows, width), (codebook_size, _) = found[vocabulary], found[f"{head}.weight"]
    num_classes = rows - codebook_size - 2
    if num_classes < 0:
        raise UserError(
            f"{path} has a vocabulary of {rows}, too small for the {codebook_size} codes of "
            f"{head}.weight, a mask and no class."
        )

    def number(module: str) -> int:
        return layout.count(lambda i: any(name.startswith(f"{module}.{i}.") for name in found))

    return {
        "codebook_size": codebook_size,
        "num_classes": num_classes,
        "num_tokens": found[positions][-2] - 1,
        "num_layers": 2 * number("in_blocks") + 1 if is_uvit else number("model.encoder.layer"),
        "hidden_size": width,
        "num_heads": num_heads,
        "intermediate_size": found[hidden][0],
        "long_skips": is_uvit,
    }


def _names(is_uvit: bool) -> tuple[str, str, str]:
    return _UVIT if is_uvit else _BERT


def file_shapes(fields: dict[str, Any], ours: layout.Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the file's names and shapes of a net with these fields and parameters."""
    is_uvit, width = fields["long_skips"], fields["hidden_size"]
    vocabulary, positions, _ = _names(is_uvit)
    shapes: dict[str, tuple[int, ...]] = {
        vocabulary: (fields["codebook_size"] + fields["num_classes"] + 2, width),
        positions: (*(1,) * is_uvit, fields["num_tokens"] + 1, width),
    }
    if not is_uvit:
        shapes[_BERT_TYPES] = (2, width)
    for path, shape in ours.items():
        name, _ = _origin(path, fields)
        if name not in shapes:
            first, *rest = layout.torch_shape(path, shape)
            shapes[name] = (first * len(layout.INPUTS) if ".attn.qkv." in name else first, *rest)
    return shapes


def _origin(path: str, fields: dict[str, Any]) -> tuple[str, slice]:
    """Returns the file's name of a parameter of ours, and which of its rows are that."""
    is_uvit, codes = fields["long_skips"], fields["codebook_size"]
    vocabulary, positions, head = _names(is_uvit)
    tables = {
        "token_embeddings/embedding": (vocabulary, slice(0, codes + 1)),
        "label_embeddings/embedding": (vocabulary, slice(codes + 1, None)),
        "position_embeddings/embedding": (positions, slice(None)),
    }
    if path in tables:
        return tables[path]
    match = re.fullmatch(r"(?:layer_(\d+)/)?(.+)/(\w+)", path)
    assert match is not None  # Every other parameter belongs to a module.
    layer, module, leaf = match.groups()
    leaf = "bias" if leaf == "bias" else "weight"
    if module == "head":
        return f"{head}.{leaf}", slice(None)
    if module.startswith("skip_"):
        return f"out_blocks.{module.removeprefix('skip_')}.skip_linear.{leaf}", slice(None)
    modules = _UVIT_MODULES if is_uvit else _BERT_MODULES
    name = f"{_layer_name(layer, fields) if layer else ''}{modules[module]}.{leaf}"
    part = module.removeprefix("attention/")
    if not is_uvit or part not in layout.INPUTS:
        return name, slice(None)
    return name, layout.part_of_inputs(part, fields["hidden_size"])


def _layer_name(layer: str, fields: dict[str, Any]) -> str:
    if not fields["long_skips"]:
        return f"model.encoder.layer.{layer}."
    number, middle = int(layer), fields["num_layers"] // 2
    if number == middle:
        return "mid_block."
    before = number < middle
    return f"in_blocks.{number}." if before else f"out_blocks.{number - middle - 1}."
