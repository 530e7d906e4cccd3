"""The class-conditional GPT of Taming Transformers: a PyTorch Lightning `.ckpt`.

Source: CompVis/taming-transformers, `Net2NetTransformer`. The transformer's tensors are under
`transformer.`; the other ones, of its tokenizer, are for `taming_vqgan`. A class id k is fed as
visual token k, so there is no table of classes. A permuter orders the visual tokens: the published
class-conditional model's is the identity, which has no tensors; others have two index lists, of
which the first becomes the net's `order`.
"""

import math
import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT

_WHAT = "GPT of Taming Transformers"
_PREFIX = "transformer."
_PERMUTER = "permuter."
# Visual token at each place of the sequence, and place of each visual token.
_ORDERS = ("permuter.forward_shuffle_idx", "permuter.backward_shuffle_idx")
# In the published models: 24 heads at width 1536 and 16 at 1024.
HEAD_SIZE = 64
# Our modules -> the file's: in a block, and around the blocks.
_MODULES = {
    "attention_ln": "ln1",
    "mlp_ln": "ln2",
    "attention/query": "attn.query",
    "attention/key": "attn.key",
    "attention/value": "attn.value",
    "attention/projection": "attn.proj",
    "mlp_in": "mlp.0",
    "mlp_out": "mlp.2",
    "token_embeddings": "tok_emb",
    "final_ln": "ln_f",
    "head": "head",
}


def read(path: pathlib.Path, num_heads: int | None = None) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.gpt.GPT` and its parameters.

    Args:
      path: the file.
      num_heads: attention heads, which no shape tells; by default 64 channels per head.

    Raises:
      UserError: a missing file, tensors that such a net does not have, attention that is not
        causal, or a permuter that is not a permutation.
    """
    tensors = torch_file.tensors(path)
    found = {n: t.shape for n, t in tensors.items() if n.startswith((_PREFIX, _PERMUTER))}
    fields = _fields(path, found, num_heads)
    with layout.expect(path, _WHAT):
        shapes = layout.param_shapes(
            GPT(**fields), layout.token_batch(1, 1), class_ids=layout.token_batch(1)
        )
    names = {ours: _file_name(ours) for ours in shapes}
    expected = {names[ours]: _file_shape(ours, shape) for ours, shape in shapes.items()}
    layout.check(path, found, {**expected, **_buffer_shapes(found, fields)})
    _check_masks(path, tensors)
    if _ORDERS[0] in tensors:
        order = _order(path, fields["num_positions"], *(tensors[name].read() for name in _ORDERS))
        fields["order"] = order
    return fields, layout.nest(
        {
            ours: layout.floats(
                path, names[ours], layout.from_torch(ours, tensors[names[ours]].read(), shape)
            )
            for ours, shape in shapes.items()
        }
    )


def _fields(path, found: layout.Shapes, num_heads: int | None) -> dict[str, Any]:
    tokens, positions, hidden = (
        f"{_PREFIX}{name}" for name in ("tok_emb.weight", "pos_emb", "blocks.0.mlp.0.weight")
    )
    layout.require(path, _WHAT, found, {tokens: 2, positions: 3, hidden: 2})
    codebook_size, hidden_size = found[tokens]
    num_heads = num_heads or max(1, hidden_size // HEAD_SIZE)
    if hidden_size % num_heads:
        raise UserError(
            f"{path} has width {hidden_size}, which {num_heads} heads cannot share: set num_heads."
        )
    return {
        "codebook_size": codebook_size,
        "num_positions": found[positions][1],
        "num_layers": layout.count(
            lambda block: any(name.startswith(f"{_PREFIX}blocks.{block}.") for name in found)
        ),
        "hidden_size": hidden_size,
        "num_heads": num_heads,
        "intermediate_size": found[hidden][0],
    }


def _buffer_shapes(found: layout.Shapes, fields: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the buffers that the file holds besides parameters."""
    masks = {name for i in range(fields["num_layers"]) if (name := _mask_name(i)) in found}
    shapes = dict.fromkeys(masks, (1, 1, *2 * (fields["num_positions"],)))
    lengths = [math.prod(found[name]) for name in _ORDERS if name in found]
    return shapes | (dict.fromkeys(_ORDERS, (lengths[0],)) if lengths else {})


def _mask_name(block: int) -> str:
    return f"{_PREFIX}blocks.{block}.attn.mask"


def _check_masks(path, tensors) -> None:
    for name in filter(re.compile(re.escape(_PREFIX) + r".*\.attn\.mask").fullmatch, tensors):
        mask = tensors[name].read()[0, 0] != 0
        if not np.array_equal(mask, np.tri(len(mask), dtype=bool)):
            raise UserError(
                f"{path} has attention that is not causal ({name}; n_unmasked in the release's "
                "config), which is not supported."
            )


def _order(path, num_positions: int, forward: np.ndarray, backward: np.ndarray) -> tuple[int, ...]:
    """Returns `GPT.order` of a permuter; () if it keeps the tokens in row-major order."""
    places = np.arange(len(forward))
    if (
        len(places) > num_positions
        or not all(np.issubdtype(order.dtype, np.integer) for order in (forward, backward))
        or not np.array_equal(np.sort(forward), places)
        or not np.array_equal(np.argsort(forward), backward)
    ):
        raise UserError(
            f"{path}: {' and '.join(_ORDERS)} are not a permutation of at most {num_positions} "
            "visual tokens and its inverse."
        )
    return () if np.array_equal(forward, places) else tuple(forward.tolist())


def _file_name(path: str) -> str:
    """'block_3/attention/query/kernel' -> 'transformer.blocks.3.attn.query.weight'."""
    if path == "position_embeddings/embedding":
        return f"{_PREFIX}pos_emb"
    found = re.fullmatch(r"(?:block_(\d+)/)?(.+)/(\w+)", path)
    assert found is not None  # Every parameter belongs to a module.
    block, module, leaf = found.groups()
    place = f"blocks.{block}." if block else ""
    return f"{_PREFIX}{place}{_MODULES[module]}.{'bias' if leaf == 'bias' else 'weight'}"


def _file_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Torch's shape: matrices (out, in), heads in the width, a batch axis on the position table."""
    if path == "position_embeddings/embedding":
        return (1, *shape)
    if path.endswith("/embedding"):
        return shape
    if not path.endswith("/kernel"):
        return (math.prod(shape),)
    return layout.torch_shape(path, shape)
