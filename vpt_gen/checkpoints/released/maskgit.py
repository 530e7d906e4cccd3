"""MaskGIT's published tokenizers and transformers: raw Flax msgpack files.

Source: google-research/maskgit. A file holds {"params": ...} with exactly the parameter tree of
`nets/vqgan.py` or `nets/maskgit.py`. Also read: the tree alone, and the tree in a train state, as
`params` (rather than `ema_params`) or as an optimizer's `target`.
"""

import pathlib
from typing import Any

import numpy as np
from flax import serialization, traverse_util

from vpt_gen.checkpoints.released import layout, msgpack_scan
from vpt_gen.errors import UserError
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

PUBLISHED_CODEBOOK_SIZE = 1024
# Keys of the parameters in a train state; the first that exists is used.
_WRAPPERS = ("optimizer", "target", "params", "ema_params")


def read_tokenizer(path: pathlib.Path) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.vqgan.VQGAN` and its parameters.

    Raises:
      UserError: a missing file, or tensors that such a net does not have.
    """
    what = "MaskGIT tokenizer"
    flat = _flat_params(path)
    found = {name: value.shape for name, value in flat.items()}
    fields = _tokenizer_fields(path, what, found)
    with layout.expect(path, what):
        net = VQGAN(**fields)
        expected = layout.param_shapes(net, layout.image_batch(net.downsampling))
    return fields, _params(path, flat, expected)


def read_transformer(
    path: pathlib.Path, codebook_size: int = PUBLISHED_CODEBOOK_SIZE
) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.maskgit.MaskGIT` and its parameters.

    Args:
      path: the file.
      codebook_size: visual tokens; the rest of the vocabulary are classes and the mask.

    Raises:
      UserError: see `read_tokenizer`; or a codebook as large as the vocabulary.
    """
    what = "MaskGIT transformer"
    flat = _flat_params(path)
    found = {name: value.shape for name, value in flat.items()}
    fields = _transformer_fields(path, what, found, codebook_size)
    if fields["num_classes"] < 0:
        raise UserError(
            f"{path} has a vocabulary of {fields['num_classes'] + codebook_size + 1}, too small "
            f"for {codebook_size} visual tokens: set codebook_size to the tokenizer's."
        )
    if not fields["num_tokens"]:
        raise UserError(f"{path} has one position: one for the class and none for visual tokens.")
    with layout.expect(path, what):
        expected = layout.param_shapes(
            MaskGIT(**fields),
            layout.token_batch(1, fields["num_tokens"]),
            class_ids=layout.token_batch(1),
        )
    return fields, _params(path, flat, expected)


def _params(path, flat: dict[str, np.ndarray], expected: layout.Shapes) -> dict[str, Any]:
    layout.check(path, {name: value.shape for name, value in flat.items()}, expected)
    # Removed one by one, so that the file's tensors and their copies are never all in memory at
    # once.
    return layout.nest({name: layout.floats(path, name, flat.pop(name)) for name in expected})


def _flat_params(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        leaves = traverse_util.flatten_dict(_unwrapped(path))
    except (UserError, OSError):
        raise
    # A file of another kind can cause any error of msgpack, Flax and NumPy.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} is not a Flax msgpack file, or is incomplete ({reason}); fetch it again."
        ) from error
    flat = {"/".join(map(str, keys)): value for keys, value in leaves.items()}
    strangers = [name for name, value in flat.items() if not isinstance(value, np.ndarray)]
    if strangers or len(flat) < len(leaves):
        raise UserError(
            f"{path}: {(strangers or ['a name'])[0]} is not a tensor; is it a MaskGIT checkpoint?"
        )
    return flat


def _unwrapped(path: pathlib.Path) -> dict:
    stored = path.read_bytes()
    msgpack_scan.check(stored)
    content = serialization.msgpack_restore(stored)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no parameters; is it a MaskGIT checkpoint?")
    while inner := [content[k] for k in _WRAPPERS if isinstance(content.get(k), dict)]:
        content = inner[0]
    return content


def _tokenizer_fields(path, what, found: layout.Shapes) -> dict[str, Any]:
    def number(module):
        return layout.count(lambda i: any(n.startswith(f"{module}_{i}/") for n in found))

    # The decoder has a first and a last convolution, and one after every upsampling.
    levels = max(number("decoder/Conv") - 1, 1)
    # After its last level the encoder has as many blocks as in each level.
    blocks = number("encoder/ResBlock") // (levels + 1)
    widths = [f"encoder/ResBlock_{level * blocks}/Conv_0/kernel" for level in range(levels)]
    first, codebook = "encoder/Conv_0/kernel", "quantizer/codebook"
    layout.require(path, what, found, {**dict.fromkeys((first, *widths), 4), codebook: 2})
    filters = found[first][-1]
    return {
        "filters": filters,
        "channel_multipliers": tuple(found[width][-1] // filters for width in widths),
        "num_res_blocks": blocks,
        "embedding_dim": found[codebook][1],
        "codebook_size": found[codebook][0],
    }


def _transformer_fields(path, what, found: layout.Shapes, codebook_size: int) -> dict[str, Any]:
    words, positions = (f"Embed_0/{kind}_embeddings/embedding" for kind in ("word", "position"))
    query = "TransformerLayer_0/Attention_0/self_attention/query/kernel"
    hidden = "TransformerLayer_0/Mlp_0/intermediate_output/kernel"
    layout.require(path, what, found, {words: 2, positions: 2, query: 3, hidden: 2})
    hidden_size, num_heads, _ = found[query]
    return {
        "codebook_size": codebook_size,
        "num_classes": found[words][0] - codebook_size - 1,
        "num_tokens": found[positions][0] - 1,
        "num_layers": layout.count(
            lambda i: any(name.startswith(f"TransformerLayer_{i}/") for name in found)
        ),
        "hidden_size": hidden_size,
        "num_heads": num_heads,
        "intermediate_size": found[hidden][-1],
    }
