"""The class-conditional transformers of Halton-MaskGIT: PyTorch checkpoints.

Source: valeoai/Halton-MaskGIT, `Trainer/abstract_trainer.py`. A file holds {"iter", "global_epoch",
"model_state_dict", "optimizer_state_dict"}; the last is None or AdamW's state and is not read.
Names may begin with what data parallelism ("module.") and compilation ("_orig_mod.") put before
them. The head and the table of tokens are one matrix, which the file names twice.
"""

import math
import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT

_WHAT = "Halton-MaskGIT transformer"
_SECTIONS = ("model_state_dict",)
_WRAPPERS = re.compile(r"(?:module\.|_orig_mod\.)+")
# Width of the published models -> their attention heads, which no shape tells.
NUM_HEADS = {384: 6, 512: 6, 768: 12, 1024: 16}
_TOKENS, _HEAD = "tok_emb.weight", "head.weight"
# Our modules -> the file's: in a layer, and around the layers.
_MODULES = {
    "modulation/linear": "mlp.1",
    "attention_norm": "ln1",
    "attention/query": "attn.wq",
    "attention/key": "attn.wk",
    "attention/value": "attn.wv",
    "attention/projection": "attn.wo",
    "mlp_norm": "ln2",
    "mlp/mlp_gate": "ff.w1",
    "mlp/mlp_in": "ff.w3",
    "mlp/mlp_out": "ff.w2",
    "token_embeddings": "tok_emb",
    "position_embeddings": "pos_emb",
    "label_embeddings": "cls_emb",
    "register_embeddings": "reg_tokens",
    "final_norm/norm": "last_norm.norm_final",
    "final_norm/modulation/linear": "last_norm.mlp.1",
    "head": "head",
}


def read(path: pathlib.Path, num_heads: int | None = None) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.halton_maskgit.HaltonMaskGIT` and its parameters.

    Args:
      path: the file.
      num_heads: attention heads; by default those of the published model of that width.

    Raises:
      UserError: a missing file, tensors that such a net does not have, visual tokens that form no
        square, or a width of no published model without `num_heads`.
    """
    tensors = _tensors(path)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    fields = _fields(path, found, num_heads)
    with layout.expect(path, _WHAT):
        shapes = layout.param_shapes(HaltonMaskGIT(**fields), layout.token_batch(1, 1))
    names = {ours: _file_name(ours) for ours in shapes}
    expected = {names[ours]: layout.torch_shape(ours, shape) for ours, shape in shapes.items()}
    layout.check(path, found, {**expected, _HEAD: expected[_TOKENS]})
    if not np.array_equal(tensors[_HEAD].read(), tensors[_TOKENS].read()):
        raise UserError(
            f"{path}: {_HEAD} and {_TOKENS} differ, but a Halton-MaskGIT has one matrix for both; "
            "was it trained by other code?"
        )
    return fields, layout.nest(
        {
            ours: layout.floats(
                path, names[ours], layout.from_torch(ours, tensors[names[ours]].read(), shape)
            )
            for ours, shape in shapes.items()
        }
    )


def _tensors(path: pathlib.Path) -> dict[str, torch_file.TorchTensor]:
    tensors: dict[str, torch_file.TorchTensor] = {}
    for wrapped, tensor in torch_file.tensors(path, _SECTIONS).items():
        prefix = _WRAPPERS.match(wrapped)
        name = wrapped[prefix.end() :] if prefix else wrapped
        if name in tensors:
            raise UserError(f"{path} holds {name} twice, with and without {wrapped!r}.")
        tensors[name] = tensor
    return tensors


def _fields(path, found: layout.Shapes, num_heads: int | None) -> dict[str, Any]:
    query, hidden = (f"transformer.layers.0.{name}.weight" for name in ("attn.wq", "ff.w1"))
    tables = (_TOKENS, "pos_emb.weight", "cls_emb.weight")
    layout.require(path, _WHAT, found, dict.fromkeys((*tables, query, hidden), 2))
    (vocabulary, width), (num_tokens, _), (classes, _) = (found[name] for name in tables)
    if vocabulary < 2:
        raise UserError(f"{path} has no visual tokens: {_TOKENS} has a row for the mask alone.")
    if math.isqrt(num_tokens) ** 2 != num_tokens:
        raise UserError(
            f"{path} has positions for {num_tokens} visual tokens, which form no square grid."
        )
    if num_heads is None and width not in NUM_HEADS:
        known = ", ".join(map(str, NUM_HEADS))
        raise UserError(
            f"{path} has width {width}; the published models have {known}. Set num_heads, the "
            "number of its attention heads."
        )
    num_heads = num_heads or NUM_HEADS[width]
    attended = num_heads * (width // num_heads)
    if attended != found[query][0]:
        raise UserError(
            f"{path} has attention of width {found[query][0]}, but {num_heads} heads in width "
            f"{width} have {attended}: set num_heads."
        )
    registers = found.get("reg_tokens.weight", (0,))
    return {
        "codebook_size": vocabulary - 1,
        "num_classes": classes - 1,
        "num_tokens": num_tokens,
        "num_layers": layout.count(
            lambda i: any(name.startswith(f"transformer.layers.{i}.") for name in found)
        ),
        "hidden_size": width,
        "num_heads": num_heads,
        "intermediate_size": found[hidden][0],
        "num_registers": registers[0],
    }


def _file_name(path: str) -> str:
    """'layer_3/attention/query/kernel' -> 'transformer.layers.3.attn.wq.weight'."""
    found = re.fullmatch(r"(?:layer_(\d+)/)?(.+)/(\w+)", path)
    assert found is not None  # Every parameter belongs to a module.
    layer, module, leaf = found.groups()
    place = f"transformer.layers.{layer}." if layer else ""
    return f"{place}{_MODULES[module]}.{'bias' if leaf == 'bias' else 'weight'}"
