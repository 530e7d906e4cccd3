"""MaskGIT's published tokenizers and transformers: raw Flax msgpack files.

Source: google-research/maskgit. A file holds {"params": ...} with exactly the parameter tree of
`nets/vqgan.py` or `nets/maskgit.py`. Also read: the tree without the outer "params".
"""

import pathlib
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np
from flax import serialization, traverse_util

from vpt_gen.checkpoints.released import layout
from vpt_gen.errors import UserError
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

PUBLISHED_CODEBOOK_SIZE = 1024


def read_tokenizer(path: pathlib.Path) -> tuple[dict[str, Any], Any]:
    """Fields of `nets.vqgan.VQGAN` and its parameters.

    Raises:
      UserError: no such file, or tensors that such a net has not.
    """
    flat = _flat_params(path)
    shapes = {name: value.shape for name, value in flat.items()}
    fields = _of_shapes(path, "tokenizer", _tokenizer_fields, shapes)
    net = VQGAN(**fields)
    layout.check(path, shapes, layout.param_shapes(net, layout.image_batch(net.downsampling)))
    return fields, layout.nest(flat)


def read_transformer(
    path: pathlib.Path, codebook_size: int = PUBLISHED_CODEBOOK_SIZE
) -> tuple[dict[str, Any], Any]:
    """Fields of `nets.maskgit.MaskGIT` and its parameters.

    Args:
      path: the file.
      codebook_size: visual tokens; what is left of the vocabulary are classes and the mask.

    Raises:
      UserError: see `read_tokenizer`; or a codebook as large as the vocabulary.
    """
    flat = _flat_params(path)
    shapes = {name: value.shape for name, value in flat.items()}
    fields = _of_shapes(path, "transformer", _transformer_fields, shapes, codebook_size)
    if fields["num_classes"] < 0:
        raise UserError(
            f"{path} has a vocabulary of {fields['num_classes'] + codebook_size + 1}, too small "
            f"for {codebook_size} visual tokens: set codebook_size to the tokenizer's."
        )
    ids = jnp.zeros((1, fields["num_tokens"]), jnp.int32)
    expected = layout.param_shapes(MaskGIT(**fields), ids, class_ids=jnp.zeros(1, jnp.int32))
    layout.check(path, shapes, expected)
    return fields, layout.nest(flat)


def _flat_params(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        content = serialization.msgpack_restore(path.read_bytes())
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise UserError(
            f"{path} is no Flax msgpack file, or an incomplete one ({str(error).splitlines()[0]}); "
            "fetch it again."
        ) from error
    if isinstance(content, dict):
        content = content.get("params", content)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no parameters; is it a MaskGIT checkpoint?")
    flat = traverse_util.flatten_dict(content, sep="/")
    strangers = [name for name, value in flat.items() if not isinstance(value, np.ndarray)]
    if strangers:
        raise UserError(f"{path}: {strangers[0]} is no tensor; is it a MaskGIT checkpoint?")
    return flat


def _of_shapes(path, what, fields_of, shapes, *arguments):
    try:
        return fields_of(shapes, *arguments)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise UserError(f"{path} is no MaskGIT {what}: it lacks {error}.") from error


def _tokenizer_fields(shapes: layout.Shapes) -> dict[str, Any]:
    filters = shapes["encoder/Conv_0/kernel"][-1]
    # The decoder has a first and a last convolution, and one after every upsampling.
    levels = layout.count(shapes, lambda i: f"decoder/Conv_{i}/") - 1
    # The encoder has as many blocks again after its last level as in each.
    blocks = layout.count(shapes, lambda i: f"encoder/ResBlock_{i}/") // (levels + 1)
    codebook_size, embedding_dim = shapes["quantizer/codebook"]
    widths = [
        shapes[f"encoder/ResBlock_{level * blocks}/Conv_0/kernel"][-1] for level in range(levels)
    ]
    return {
        "filters": filters,
        "channel_multipliers": tuple(width // filters for width in widths),
        "num_res_blocks": blocks,
        "embedding_dim": embedding_dim,
        "codebook_size": codebook_size,
    }


def _transformer_fields(shapes: layout.Shapes, codebook_size: int) -> dict[str, Any]:
    layer = "TransformerLayer_0"
    hidden_size, num_heads, _ = shapes[f"{layer}/Attention_0/self_attention/query/kernel"]
    vocab_size = shapes["Embed_0/word_embeddings/embedding"][0]
    return {
        "codebook_size": codebook_size,
        "num_classes": vocab_size - codebook_size - 1,
        "num_tokens": shapes["Embed_0/position_embeddings/embedding"][0] - 1,
        "num_layers": layout.count(shapes, lambda i: f"TransformerLayer_{i}/"),
        "hidden_size": hidden_size,
        "num_heads": num_heads,
        "intermediate_size": shapes[f"{layer}/Mlp_0/intermediate_output/kernel"][-1],
    }
