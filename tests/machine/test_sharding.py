"""The mesh and the rules: every parameter and every name of an axis has its place."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods import (
    adapters,
    deep_prompts,
    lora,
)
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.cgantransfer import transfer_generator
from vpt_gen.nets.discriminator import Discriminator
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.lpips import LPIPS
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.minegan import Miner
from vpt_gen.nets.prompt_generator import PromptGenerator, init_params
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.taming_vqgan import TamingVQGAN
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.transformer import MATRICES
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.nets.vqvae import VQVAE

# A batch of two: what has length 1 is not named (`nets/layout.py`).
TOKENS, LABELS = jnp.zeros((2, 256), jnp.int32), jnp.zeros((2,), jnp.int32)
IMAGES = jnp.zeros((2, 256, 256, 3))
KEY = jax.random.key(0)
# Net, and the call that makes its parameters; published sizes, never computed.
NETS = {
    "maskgit": lambda: MaskGIT().init(KEY, TOKENS, class_ids=LABELS)["params"],
    "gpt": lambda: GPT().init(KEY, TOKENS, class_ids=LABELS)["params"],
    "halton": lambda: HaltonMaskGIT().init(KEY, TOKENS, class_ids=LABELS)["params"],
    "llamagen": lambda: LlamaGen().init(KEY, TOKENS, class_ids=LABELS)["params"],
    "rar": lambda: RAR().init(KEY, TOKENS, class_ids=LABELS)["params"],
    "titok_maskgit": lambda: TiTokMaskGIT().init(KEY, TOKENS[:, :32], class_ids=LABELS)["params"],
    "titok": lambda: TiTok().init(KEY, IMAGES)["params"],
    "vqgan": lambda: VQGAN().init(KEY, IMAGES)["params"],
    "vqvae": lambda: VQVAE().init(KEY, IMAGES)["params"],
    "taming_vqgan": lambda: TamingVQGAN().init(KEY, IMAGES)["params"],
    "discriminator": lambda: Discriminator().init(KEY, IMAGES)["params"],
    "biggan": lambda: BigGAN(1000).init(KEY),
    "gan_of_tables": lambda: BigGAN(2, hierarchical=False, shared=False).init(KEY),
    "miner": lambda: Miner(120, 128).init(KEY, jnp.zeros((1, 120))),
    "transfer": lambda: transfer_generator(BigGAN(1000).generator, 8).init(
        KEY, jnp.zeros((1, 120)), LABELS[:1]
    ),
    "lpips": lambda: LPIPS().init(KEY, IMAGES, IMAGES)["params"],
    "prompts": lambda: init_params(
        PromptGenerator(10, 16, 96, 64, design="factorized", num_factors=2, num_instances=4), KEY
    ),
    "lora": lambda: additions(lora.make_method(MaskGIT(), 10, 4, 4.0, MATRICES)),
    "adapters": lambda: additions(adapters.make_method(GPT(), 10, 8), GPT()),
    "deep_prompts": lambda: additions(deep_prompts.make_method(MaskGIT(), 10, 16)),
}
SMALL = ("prompts", "lora", "adapters", "deep_prompts", "miner")


def additions(method, net=None):
    """What a method adds to a transformer."""
    source = (net or MaskGIT()).init(KEY, TOKENS, class_ids=LABELS)["params"]
    return method.init(KEY, source)


def mesh_of(*shape):
    return sharding.make_mesh(shape=shape)


@functools.cache
def shapes_of(name):
    """Shapes of a net's parameters, traced once and on a mesh."""
    with sharding.use(mesh_of(2, 2, 2)):
        return jax.eval_shape(NETS[name])


def specs(tree, *shape):
    tree = sharding.shardings(tree, mesh_of(*shape))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_parameter_has_a_rule_and_little_is_whole(name):
    """Named activations are traced on the way: a name without a rule raises."""
    shapes = shapes_of(name)
    shardings = jax.tree.leaves(sharding.shardings(shapes, mesh_of(1, 4, 2)))
    leaves = jax.tree.leaves(shapes)
    if name in SMALL:
        assert all(s.is_fully_replicated for s in shardings)
        return
    whole = [x.size for x, s in zip(leaves, shardings, strict=True) if s.is_fully_replicated]
    # The largest table, of codes, is an eighth of a small net.
    assert sum(whole) - max(whole) < 0.025 * sum(x.size for x in leaves)
    assert max(whole) < 0.12 * sum(x.size for x in leaves)
    if name in ("maskgit", "gpt"):  # Over both axes; the rest of the parameters are small.
        split = [np.prod(s.shard_shape(x.shape)) for x, s in zip(leaves, shardings, strict=True)]
        assert sum(split) < 0.15 * sum(x.size for x in leaves)


@pytest.mark.slow
def test_every_rule_has_a_parameter():
    paths = []
    for net in NETS:
        for path, x in jax.tree_util.tree_leaves_with_path(shapes_of(net)):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            paths.append(f"/{name}[{','.join(map(str, x.shape))}]")
    first = [
        next(rule for rule, _ in sharding.PARAMETER_RULES if re.search(rule, path))
        for path in paths
    ]
    assert set(first) == {rule for rule, _ in sharding.PARAMETER_RULES}


@pytest.mark.slow
def test_attention_and_mlp_lie_as_meant():
    found = specs(shapes_of("maskgit"), 2, 2, 2)
    layer = "TransformerLayer_3/"
    attention = layer + "Attention_0/self_attention/"
    assert found[attention + "query/kernel"] == PartitionSpec("fsdp", "tensor", None)
    assert found[attention + "query/bias"] == PartitionSpec("tensor", None)
    assert found[attention + "out/kernel"] == PartitionSpec("tensor", None, "fsdp")
    assert found[attention + "out/bias"] == PartitionSpec(None)
    assert found[layer + "Mlp_0/intermediate_output/kernel"] == PartitionSpec("fsdp", "tensor")
    assert found[layer + "Mlp_0/layer_output/kernel"] == PartitionSpec("tensor", "fsdp")


@pytest.mark.slow
def test_stacked_layers_lie_as_single_ones():
    single = shapes_of("gpt")["block_0"]
    stacked = jax.tree.map(lambda x: jax.ShapeDtypeStruct((48, *x.shape), x.dtype), single)
    one, many = specs(single, 2, 2, 2), specs(stacked, 2, 2, 2)
    assert {name: PartitionSpec(None, *spec) for name, spec in one.items()} == many


@pytest.mark.slow
def test_moments_lie_as_their_parameters():
    params = shapes_of("maskgit")
    moments = jax.eval_shape(optax.adamw(1e-3).init, params)
    found = specs({"params": params, "opt_state": moments}, 2, 2, 2)
    for name, spec in found.items():
        if match := re.match(r"opt_state/0/[mn]u/(.*)", name):
            assert spec == found[f"params/{match[1]}"]


def test_a_parameter_without_a_rule_is_named():
    with pytest.raises(KeyError, match=r"/adapter/matrix\[4,4\]"):
        specs({"adapter": {"matrix": jnp.zeros((4, 4))}}, 8, 1, 1)


@pytest.mark.slow
def test_heads_and_widths_that_do_not_divide_are_named():
    net = MaskGIT(8, 2, 4, num_layers=1, hidden_size=12, num_heads=6, intermediate_size=16)
    params = jax.eval_shape(lambda: net.init(KEY, TOKENS[:, :4])["params"])
    with pytest.raises(UserError, match=r"tensor is 4, which does not divide the 6 of .*/key/"):
        specs(params, 2, 1, 4)
    with pytest.raises(UserError, match=r"fsdp is 8, which does not divide the 12 of .*heads"):
        specs(params, 1, 8, 1)


@pytest.mark.parametrize(
    ("shape", "lengths"),
    [((-1, 1, 1), (8, 1, 1)), ((2, -1, 2), (2, 2, 2)), ((1, 4, -1), (1, 4, 2))],
)
def test_the_rest_of_the_devices(shape, lengths):
    assert tuple(mesh_of(*shape).shape.values()) == lengths


@pytest.mark.parametrize("shape", [(3, 1, 1), (-1, 3, 1), (2, 2, 1), (4, 4, 1)])
def test_a_mesh_that_does_not_fit_is_named(shape):
    with pytest.raises(UserError, match=r"config\.mesh is .*does not fit 8 devices"):
        mesh_of(*shape)


@pytest.mark.parametrize("shape", [(-1, -1, 1), (0, 1, 1), (8, -2, 1)])
def test_impossible_lengths_are_named(shape):
    with pytest.raises(UserError, match="lengths must be 1 or more"):
        mesh_of(*shape)


def test_batches_are_shared_by_data_and_fsdp():
    mesh = mesh_of(2, 2, 2)
    sharding.check_batch_size(4, mesh)
    with pytest.raises(UserError, match=r"in 2 parts \(config.accumulate\); use a multiple of 8"):
        sharding.check_batch_size(4, mesh, accumulate=2)
    with pytest.raises(UserError, match=r"batch_size 6 cannot .* use a multiple of 4"):
        sharding.check_batch_size(6, mesh)
    rows = np.arange(24).reshape(8, 3)
    array = sharding.to_global({"x": rows}, mesh)["x"]
    np.testing.assert_array_equal(array, rows)
    assert array.sharding.shard_shape(array.shape) == (2, 3)
    np.testing.assert_array_equal(sharding.process_rows(8, mesh), np.arange(8))


def test_parameters_are_put_in_their_places():
    tree = {"mlp_in": {"kernel": np.arange(32.0).reshape(4, 8)}}
    placed = sharding.put(tree, mesh_of(2, 2, 2))["mlp_in"]["kernel"]
    np.testing.assert_array_equal(placed, tree["mlp_in"]["kernel"])
    assert placed.sharding.shard_shape(placed.shape) == (2, 4)
    again = sharding.put({"mlp_in": {"kernel": placed}}, mesh_of(2, 2, 2))
    assert again["mlp_in"]["kernel"] is placed


@pytest.mark.slow
def test_arrays_lie_as_they_were_put():
    devices = jax.devices()
    one, two = (sharding.make_mesh(devices[:count]) for count in (1, 2))
    params = {"kernel": np.ones((4, 2), np.float32), "bias": np.ones(2, np.float32)}
    assert not sharding.lies_as(params, sharding.replicated(one))
    placed = jax.device_put(params, sharding.replicated(two))
    assert sharding.lies_as(placed, sharding.replicated(two))
    assert not sharding.lies_as(placed, sharding.replicated(one))
    split = {**placed, "kernel": jax.device_put(params["kernel"], sharding.split_batch(two))}
    assert not sharding.lies_as(split, sharding.replicated(two))
