"""Costs of the published transformers, by formula: parameters, FLOPs and bytes.

FLOPs are those of products (`tables/flops.py`). Memory is for matrices in bfloat16 and a float32
residual stream (`nets/precision.py`). Letters as everywhere: N visual tokens, S prompt
tokens, L positions, D width, H heads, K codes; M is the width of the MLPs.
`python -m tests.compiled_capacity` compares all of it with XLA's counts of compiled programs.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh

from vpt_gen.machine import sharding
from vpt_gen.nets.stack import init_shapes
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.tables import flops
from vpt_gen.tables.published_nets import published_net


@dataclasses.dataclass(frozen=True)
class Model:
    """A published transformer and its numbers of tokens, prompts and iterations.

    Attributes:
      net: the transformer.
      num_tokens: N.
      num_prompt_tokens: S.
      num_iterations: T of parallel decoding.
    """

    net: TokenTransformer
    num_tokens: int
    num_prompt_tokens: int = 128
    num_iterations: int = 12

    @property
    def autoregressive(self) -> bool:
        return self.net.family == "ar"

    @property
    def length(self) -> int:
        """L, positions of a training sequence."""
        return self.net.num_inputs(self.num_tokens, self.num_prompt_tokens)

    @property
    def rows(self) -> int:
        """Positions whose logits are computed."""
        return self.net.num_logit_rows(self.num_tokens)


# Of a LlamaGen, as many prompts as layers: more of them act no differently.
MODELS = {
    "MaskGIT-256": Model(published_net("maskgit256_transformer"), 256),
    "MaskGIT-512": Model(published_net("maskgit512_transformer"), 1024),
    "taming cIN": Model(published_net("taming_cin_transformer"), 256),
    "LlamaGen-B-256": Model(published_net("llamagen_b_256_transformer"), 256, 12),
    "LlamaGen-L-256": Model(published_net("llamagen_l_256_transformer"), 256, 24),
    "LlamaGen-XL-384": Model(published_net("llamagen_xl_384_transformer"), 576, 36),
    "LlamaGen-3B-384": Model(published_net("llamagen_3b_384_transformer"), 576, 24),
}


def param_shapes(net: TokenTransformer) -> Any:
    """Returns the shapes of a net's parameters, without allocating them."""
    token, label = jax.ShapeDtypeStruct((1, 1), jnp.int32), jax.ShapeDtypeStruct((1,), jnp.int32)
    return init_shapes(net, token, class_ids=label)


def num_params(net: TokenTransformer) -> int:
    """Counts the parameters of a net."""
    return sum(x.size for x in jax.tree.leaves(param_shapes(net)))


# FLOPs of one image.


def tuning_flops(model: Model, remat: str) -> int:
    """Counts one update: forward, backward through frozen weights, and recomputation.

    Recomputed (`remat`, see `nets/stack.py`) are attention's products and, with 'layer', those with
    a layer's matrices; a GPT, which has no norm after the last one, does not need that one.
    """
    net, length = model.net, model.length
    attention = 4 * net.attended(length, model.num_prompt_tokens) * net.attention_width
    weights = 2 * net.weight_products(length, model.num_prompt_tokens)
    unused = 0 if net.keeps_output else net.hidden_size * net.intermediate_size
    again = {
        "none": 0,
        "attention": 0,
        "dots": attention,
        "layer": weights - 2 * length * unused + attention,
    }[remat]
    step = flops.tuning_step(net, model.num_tokens, model.num_prompt_tokens)
    return step + net.num_layers * again


def decoding_flops(model: Model) -> int:
    """Counts one image: T passes over all positions, or the prefix and then a token at a time."""
    if model.autoregressive:
        return flops.cached_decoding(model.net, model.num_tokens, model.num_prompt_tokens)
    return flops.parallel_decoding(
        model.net, model.num_tokens, model.num_prompt_tokens, model.num_iterations
    )


# Bytes per chip. `size` is the bytes of a number in the type of the matrices: 2 for bfloat16.


@functools.cache
def weight_bytes(net: TokenTransformer, mesh: Mesh | AbstractMesh, size: int = 2) -> int:
    """Returns a chip's part of the weights, by the rules of `machine/sharding.py`."""
    shapes = param_shapes(net)
    parts = jax.tree.map(
        lambda x, where: math.prod(where.shard_shape(x.shape)) * (size if x.ndim > 1 else 4),
        shapes,
        sharding.shardings(shapes, mesh),
    )
    return sum(jax.tree.leaves(parts))


def kept_bytes(model: Model, remat: str, size: int = 2) -> int:
    """Returns what a layer's forward pass stores per image for the backward pass (`nets/stack.py`).

    'layer' stores the layer's input. 'dots' also stores the results of matrix products that
    backward needs: queries, keys, values, the attention's output, the hidden units and, if a norm
    follows (MaskGIT), the MLP's output. 'none' stores the attention's weights, six arrays of the
    stream, and `kept_hidden` arrays of the net's hidden units, as counted in compiled programs.
    """
    net, length = model.net, model.length
    d, m = net.hidden_size, net.intermediate_size
    stream = 4 * length * d
    of_products, hidden = net.kept_hidden
    products = (5 if net.keeps_output else 4) * d + of_products * m
    weights = net.num_heads * net.attended(length, model.num_prompt_tokens)
    return {
        "none": 6 * stream + size * (length * (4 * d + hidden * m) + weights),
        "dots": stream + size * length * products,
        "layer": stream,
    }[remat]


def tuning_bytes(model: Model, remat: str, size: int = 2) -> int:
    """Returns an image's memory in prompt tuning: what is stored, and one active layer or head."""
    head = 2 * 4 * model.rows * model.net.codebook_size
    at_work = max(kept_bytes(model, "none", size), head)
    return model.net.num_layers * kept_bytes(model, remat, size) + at_work


def decoding_bytes(model: Model, size: int = 2) -> int:
    """Returns a decoded image's memory: an active layer, or (AR) keys and values of all layers."""
    net = model.net
    if model.autoregressive:
        length = net.cached_prompts(model.num_prompt_tokens) + model.num_tokens - 1
        return size * net.num_layers * length * net.cached_numbers
    length = model.length
    layer = 2 * 4 * net.num_heads * length**2 + 4 * length * (
        4 * net.hidden_size + 2 * net.intermediate_size
    )
    return layer + 2 * 4 * model.rows * net.codebook_size
