"""RAR's transformers: torch files of a flat state dict.

Source: bytedance/1d-tokenizer `modeling/rar.py`. The vocabulary is one table: codes, a mask that is
never used, classes, and none. Tables of positions have rows that no sequence reaches. Neither is
kept. Attention's inputs are one matrix.
"""

import math
import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.rar import RAR

_WHAT = "transformer of RAR"
_VOCABULARY, _HEAD = "embeddings.weight", "lm_head.weight"
_POSITIONS, _TARGETS, _TIMES = "pos_embed", "target_aware_pos_embed", "timesteps_embeddings"
# Rows of the tables beyond the N of visual tokens; the first two are of [cls] and the condition.
_SPARE = {_POSITIONS: 1024, _TARGETS: 1024, _TIMES: 100}
_BEFORE = 2
# Our modules -> the file's: in a layer, and around the layers.
_MODULES = {
    "modulation/linear": "adaLN_modulation.1",
    "attention_norm": "norm1",
    **{f"attention/{name}": "attn.qkv" for name in layout.INPUTS},
    "attention/query_norm": "attn.q_norm",
    "attention/key_norm": "attn.k_norm",
    "attention/projection": "attn.proj",
    "mlp_norm": "norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
    "final_norm/modulation/linear": "adaln_before_head.adaLN_modulation.1",
    "head": "lm_head",
}


def read(path: pathlib.Path) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.rar.RAR` and its parameters.

    Raises:
      UserError: a missing file, or tensors that such a net does not have.
    """
    tensors = torch_file.tensors(path)
    found = {name: value.shape for name, value in tensors.items()}
    fields = _fields(path, found)
    with layout.expect(path, _WHAT):
        ours = layout.param_shapes(
            RAR(**fields), layout.token_batch(1, 1), class_ids=layout.token_batch(1)
        )
    layout.check(path, found, file_shapes(fields, ours))
    params = {}
    for name, shape in ours.items():
        origin, rows = _origin(name, fields)
        values = layout.floats(path, origin, tensors[origin].read())
        values = values.reshape(-1, values.shape[-1]) if values.ndim == 3 else values
        params[name] = np.ascontiguousarray(layout.from_torch(name, values[rows], shape))
    return fields, layout.nest(params)


def _fields(path: pathlib.Path, found: layout.Shapes) -> dict[str, Any]:
    norm, hidden = "blocks.0.attn.q_norm.weight", "blocks.0.mlp.fc1.weight"
    needed = {_VOCABULARY: 2, _HEAD: 2, hidden: 2, _POSITIONS: 3, norm: 1}
    layout.require(path, _WHAT, found, needed)
    (vocabulary, width), (codebook_size, _) = found[_VOCABULARY], found[_HEAD]
    num_classes = vocabulary - codebook_size - 2
    if num_classes < 0:
        raise UserError(
            f"{path} has a vocabulary of {vocabulary}, too small for the {codebook_size} codes of "
            f"{_HEAD}, a mask and no class."
        )
    num_tokens = found[_POSITIONS][1] - _SPARE[_POSITIONS]
    if num_tokens < 1 or math.isqrt(num_tokens) ** 2 != num_tokens:
        raise UserError(
            f"{path} has {found[_POSITIONS][1]} positions ({_POSITIONS}), not {_SPARE[_POSITIONS]} "
            "more than the tokens of a square image."
        )
    return {
        "codebook_size": codebook_size,
        "num_classes": num_classes,
        "num_tokens": num_tokens,
        "num_layers": layout.count(
            lambda layer: any(name.startswith(f"blocks.{layer}.") for name in found)
        ),
        "hidden_size": width,
        "num_heads": max(width // found[norm][0], 1),
        "intermediate_size": found[hidden][0],
    }


def file_shapes(fields: dict[str, Any], ours: layout.Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the file's names and shapes of a net with these fields and parameters."""
    width, num_tokens = fields["hidden_size"], fields["num_tokens"]
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        _VOCABULARY: (fields["codebook_size"] + fields["num_classes"] + 2, width),
        **{name: (1, num_tokens + spare, width) for name, spare in _SPARE.items()},
    }
    for path, shape in ours.items():
        name, _ = _origin(path, fields)
        if name not in shapes:
            rows, *rest = layout.torch_shape(path, shape)
            shapes[name] = (rows * len(layout.INPUTS) if ".attn.qkv." in name else rows, *rest)
    return shapes


def _origin(path: str, fields: dict[str, Any]) -> tuple[str, slice]:
    """Returns the file's name of a parameter of ours, and which of its rows are that."""
    codes, num_tokens = fields["codebook_size"], fields["num_tokens"]
    tables = {
        "cls_token": ("cls_token", slice(0, 1)),
        "token_embeddings/embedding": (_VOCABULARY, slice(0, codes)),
        # After the mask.
        "condition_embeddings/embedding": (_VOCABULARY, slice(codes + 1, None)),
        "position_embeddings/embedding": (_POSITIONS, slice(0, _BEFORE + num_tokens)),
        "target_embeddings/embedding": (_TARGETS, slice(_BEFORE, _BEFORE + num_tokens)),
        "time_embeddings/embedding": (_TIMES, slice(0, _BEFORE + num_tokens)),
    }
    if path in tables:
        return tables[path]
    match = re.fullmatch(r"(?:block_(\d+)/)?(.+)/(\w+)", path)
    assert match is not None  # Every other parameter belongs to a module.
    block, module, leaf = match.groups()
    where = f"blocks.{block}." if block else ""
    name = f"{where}{_MODULES[module]}.{'bias' if leaf == 'bias' else 'weight'}"
    part = module.removeprefix("attention/")
    if part not in layout.INPUTS:
        return name, slice(None)
    return name, layout.part_of_inputs(part, fields["hidden_size"])
