"""The class-conditional GPT of Taming Transformers: a PyTorch Lightning `.ckpt`.

Source: CompVis/taming-transformers, `Net2NetTransformer`. The transformer's tensors stand under
`transformer.`; its tokenizer's beside them are for `taming_vqgan`. A class id k is fed as visual
token k, so there is no table of classes; visual tokens are in row-major order (the published
class-conditional model's permuter is the identity and has no tensors).
"""

import pathlib
import re
from typing import Any

import jax.numpy as jnp
import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT

_PREFIX = "transformer."
# Of the published models, 24 heads at width 1536 and 16 at 1024.
HEAD_SIZE = 64
_MODULES = {
    "ln1": "attention_ln",
    "ln2": "mlp_ln",
    "attn/query": "attention/query",
    "attn/key": "attention/key",
    "attn/value": "attention/value",
    "attn/proj": "attention/projection",
    "mlp/0": "mlp_in",
    "mlp/2": "mlp_out",
}


def read(path: pathlib.Path, num_heads: int | None = None) -> tuple[dict[str, Any], Any]:
    """Fields of `nets.gpt.GPT` and its parameters.

    Args:
      path: the file.
      num_heads: attention heads, which no shape tells; by default 64 channels a head.

    Raises:
      UserError: no such file, another permuter, or tensors that such a net has not.
    """
    tensors = torch_file.tensors(path)
    if any(name.startswith("permuter.") for name in tensors):
        raise UserError(
            f"{path} orders its tokens by a permuter; only row-major models can be read."
        )
    tensors = {
        name.removeprefix(_PREFIX): value
        for name, value in tensors.items()
        # The causal mask is a buffer.
        if name.startswith(_PREFIX) and not name.endswith("attn.mask")
    }
    try:
        fields = _fields({name: value.shape for name, value in tensors.items()}, num_heads)
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path} is no GPT of Taming Transformers: it lacks {error}.") from error
    if fields["hidden_size"] % fields["num_heads"]:
        raise UserError(
            f"{path} has width {fields['hidden_size']}, which {fields['num_heads']} heads cannot "
            "share: set num_heads."
        )
    heads = fields["num_heads"]
    one = jnp.zeros(1, jnp.int32)
    expected = layout.param_shapes(GPT(**fields), one[None], class_ids=one)
    ours = {_our_name(name): tensor for name, tensor in tensors.items()}
    found = {name: _our_shape(name, tensor.shape, heads) for name, tensor in ours.items()}
    layout.check(path, found, expected)
    return fields, layout.nest(
        {name: _our_axes(name, tensor.read(), heads) for name, tensor in ours.items()}
    )


def _fields(shapes: layout.Shapes, num_heads: int | None) -> dict[str, Any]:
    codebook_size, hidden_size = shapes["tok_emb.weight"]
    return {
        "codebook_size": codebook_size,
        "num_positions": shapes["pos_emb"][1],
        "num_layers": layout.count(shapes, lambda i: f"blocks.{i}."),
        "hidden_size": hidden_size,
        "num_heads": num_heads or max(1, hidden_size // HEAD_SIZE),
        "intermediate_size": shapes["blocks.0.mlp.0.weight"][0],
    }


def _our_name(name: str) -> str:
    """'blocks.3.attn.query.weight' -> 'block_3/attention/query/kernel'."""
    if name == "pos_emb":
        return "position_embeddings/embedding"
    if name == "tok_emb.weight":
        return "token_embeddings/embedding"
    *modules, leaf = name.split(".")
    path = re.sub(r"^blocks/(\d+)", r"block_\1", "/".join(modules))
    block, _, module = path.partition("/")
    path = f"{block}/{_MODULES.get(module, module)}" if module else path.replace("ln_f", "final_ln")
    is_norm = path.endswith("_ln")
    return f"{path}/{'bias' if leaf == 'bias' else 'scale' if is_norm else 'kernel'}"


def _our_shape(name: str, shape: tuple[int, ...], heads: int) -> tuple[int, ...]:
    """What `_our_axes` makes of a tensor of this shape; the shape itself where it cannot."""
    try:
        return _our_axes(name, np.broadcast_to(np.float32(0), shape), heads, copy=False).shape
    except ValueError:
        return tuple(shape)


def _our_axes(name: str, values: np.ndarray, heads: int, copy: bool = True) -> np.ndarray:
    """Transposed matrices, and a head axis where attention has one; the position table is 2-D."""
    if name == "position_embeddings/embedding":
        values = values.reshape(values.shape[-2:])
    elif name.endswith("/kernel"):
        values = values.T
    module = name.split("/")[-2]
    if module in ("query", "key", "value"):
        values = values.reshape(*values.shape[:-1], heads, -1)
    elif name.endswith("projection/kernel"):
        values = values.reshape(heads, -1, values.shape[-1])
    return np.array(values, np.float32) if copy else values
