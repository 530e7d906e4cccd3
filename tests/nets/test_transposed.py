"""Transposed matrices: the same numbers, and products that read them so."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.decode import autoregressive
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transposed import for_loops

pytestmark = pytest.mark.slow

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}
NETS = {
    "gpt": GPT(9, 16, **SIZES),
    "llamagen": LlamaGen(9, 3, 16, **SIZES),
    "rar": RAR(9, 3, 16, **SIZES),
}


def params_of(net):
    tokens = jnp.zeros((1, 16), jnp.int32)
    return jax.jit(lambda key: net.init(key, tokens, class_ids=tokens[:, 0]))(jax.random.key(0))[
        "params"
    ]


@pytest.mark.parametrize("name", NETS)
def test_a_loop_has_the_same_parameters(name):
    params = params_of(NETS[name])
    found = jax.jit(lambda params: for_loops(NETS[name], params, 8)())(params)
    jax.tree.map(np.testing.assert_array_equal, found, params)


def test_decoding_reads_outputs_as_rows():
    net = NETS["llamagen"]

    def decode(params, keys):
        return autoregressive.decode(net, params, keys, 16, class_ids=jnp.array([0, 1, 2, 0]))

    keys = jax.random.split(jax.random.key(1), 4)
    text = jax.jit(decode).lower(params_of(net), keys).compile().as_text()
    products = re.findall(r"f32\[4,\d+\]\S* dot\(.*rhs_contracting_dims=\{1\}", text)
    assert len(products) == net.num_layers * len(net.parts.matrices) + 1  # And the head.


@pytest.mark.parametrize("rows", [1, 3, 49])
def test_other_products_read_the_released_matrices(rows):
    params = params_of(NETS["gpt"])
    assert for_loops(NETS["gpt"], params, rows)() is params


def test_stacked_layers_stay():
    stacked = stack_layers(params_of(NETS["gpt"]), NETS["gpt"].layer_prefix)
    assert for_loops(NETS["gpt"], stacked, 8)() is stacked
