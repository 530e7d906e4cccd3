"""Capacity on paper: formulas against what XLA counts, at sizes that compile in seconds.

`python -m tests.compiled_capacity` does the same with the published sizes.
"""

import math

import jax
import pytest

from tests import compiled_capacity
from vpt_gen.machine import sharding
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.stack import REMAT
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.tables import capacity, costs, flops

pytestmark = pytest.mark.slow

MODELS = {
    "nar": costs.Model(MaskGIT(64, 8, 48, 1, 256, 8, 1024), 48, num_prompt_tokens=16),
    "ar": costs.Model(GPT(64, 48, 1, 256, 8, 1024), 48, num_prompt_tokens=16),
    "halton": costs.Model(HaltonMaskGIT(64, 8, 48, 1, 62, 4, 160), 48, num_prompt_tokens=16),
    "llamagen": costs.Model(LlamaGen(64, 8, 49, 1, 64, 4, 2, 160), 49, num_prompt_tokens=16),
    "llamagen identity": costs.Model(
        LlamaGen(64, 8, 49, 1, 64, 4, 0, 160, prompt_rotation="identity"), 49, num_prompt_tokens=16
    ),
}


NETS = [model.net for model in MODELS.values()] + [
    RAR(64, 8, 48, 1, 32, 2, 64),
    TiTokMaskGIT(64, 8, 48, 1, 32, 2, 64),
    TiTokMaskGIT(64, 8, 48, 1, 32, 2, 64, long_skips=True),
]


@pytest.mark.parametrize("depth", [1, 7])
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.title)
def test_shapes_of_a_few_layers_are_those_of_all(net, depth):
    net = net.clone(num_layers=depth)
    tokens = jax.ShapeDtypeStruct((1, 1), int)
    class_ids = jax.ShapeDtypeStruct((1,), int)
    shapes = jax.eval_shape(net.init, jax.random.key(0), tokens, class_ids=class_ids)["params"]
    assert costs.param_shapes(net) == shapes


@pytest.mark.parametrize("remat", REMAT)
@pytest.mark.parametrize("family", MODELS)
def test_flops_of_tuning_are_the_products_of_the_program(family, remat):
    model = compiled_capacity.of_depth(MODELS[family], 3, remat)
    mesh = sharding.make_mesh(jax.devices()[:1])
    program = compiled_capacity.tuning_step(model, mesh, images=1, stacked=False)
    assert flops.count(*program) == costs.tuning_flops(model, remat)


@pytest.mark.parametrize(
    ("family", "program", "shape"),
    [
        ("nar", compiled_capacity.tuning, (2, 2, 2)),
        ("ar", compiled_capacity.tuning, (1, 8, 1)),
        ("nar", compiled_capacity.decoding, (8, 1, 1)),
    ],
)
def test_flops_of_a_layer_are_those_of_its_products(family, program, shape):
    mesh = sharding.make_mesh(shape=shape)
    (counted,) = compiled_capacity.flops_of_layers(MODELS[family], mesh, program, depth=2)
    formula = compiled_capacity.formula_of_a_layer(MODELS[family], program) / shape[2]
    # XLA also counts what is no product.
    assert formula < counted < 1.05 * formula


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (2, 2, 2)])
def test_weights_of_a_chip_are_those_that_it_is_given(shape):
    net = MODELS["nar"].net
    mesh = sharding.make_mesh(shape=shape)
    params = sharding.put(
        jax.tree.map(lambda x: jax.numpy.zeros(x.shape), costs.param_shapes(net)), mesh
    )
    held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(params))
    abstract = capacity.make_mesh(math.prod(shape), fsdp=shape[1], tensor=shape[2])
    assert costs.weight_bytes(net, abstract, size=4) == held
    assert held == 4 * costs.num_params(net) or shape[0] < 8


def test_less_is_kept_the_more_is_computed_again():
    for model in costs.MODELS.values():
        kept = [costs.kept_bytes(model, remat) for remat in ("none", "dots", "layer")]
        flops = [costs.tuning_flops(model, remat) for remat in ("none", "dots", "layer")]
        assert kept == sorted(kept, reverse=True) and flops == sorted(flops)


def test_a_batch_that_fits_fills_the_memory():
    where, model = capacity.SLICES["v5e-16"], costs.MODELS["MaskGIT-256"]
    weights = costs.weight_bytes(model.net, capacity.make_mesh(1))
    an_image = costs.tuning_bytes(model, "dots")
    batch = capacity.largest_batch(where, weights, model.net, an_image)
    assert weights + batch * an_image < 0.9 * where.chip.memory
    assert weights + (batch + 2) * an_image > 0.9 * where.chip.memory
    assert capacity.largest_batch(where, int(1e12), model.net, an_image) == 0
