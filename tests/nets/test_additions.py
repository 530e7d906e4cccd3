"""What is added to a trained net's parameters does what its formula says, in the net's own type."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from vpt_gen.nets.attention import SelfAttention
from vpt_gen.nets.causal_layers import CausalAttention
from vpt_gen.nets.layers import (
    Dense,
    FromHeads,
    ToHeads,
)
from vpt_gen.nets.maskgit import Mlp

pytestmark = pytest.mark.slow

B, L, H, E, S = 2, 5, 2, 4, 3
D = H * E
INIT = nn.initializers.normal(0.5)


def normal(number, *shape):
    return jax.random.normal(jax.random.key(number), shape)


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (Dense(6, INIT), normal(0, B, L, D)),
        (ToHeads(H, INIT), normal(0, B, L, D)),
        (FromHeads(INIT), normal(0, B, H, L, E)),
    ],
    ids=["dense", "to_heads", "from_heads"],
)
def test_a_product_of_low_rank_is_as_if_added_to_the_matrix(net, x):
    params = net.init(jax.random.key(1), x)["params"]
    kernel = params["kernel"]
    down, up = normal(2, D, 3), normal(3, 3, kernel.size // D)
    whole = {**params, "kernel": kernel + (down @ up).reshape(kernel.shape)}
    low = {**params, "lora": {"down": {"kernel": down}, "up": {"kernel": up}}}
    of_whole, of_low = (net.apply({"params": p}, x) for p in (whole, low))
    chex.assert_trees_all_close(of_low, of_whole, atol=1e-4)
    small = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    assert net.apply({"params": {**low, **small}}, x).dtype == jnp.bfloat16


def test_an_adapter_adds_its_bottleneck_before_the_residual_sum():
    net, x = Mlp(6, 0.0), normal(0, B, L, D)
    params = net.init(jax.random.key(1), x, True)["params"]
    down = {"kernel": normal(2, D, 3), "bias": normal(3, 3)}
    up = {"kernel": normal(4, 3, D), "bias": normal(5, D)}
    hidden = Dense(6, INIT).apply({"params": params["intermediate_output"]}, x)
    output = Dense(D, INIT).apply({"params": params["layer_output"]}, nn.gelu(hidden))
    bottleneck = nn.gelu(output @ down["kernel"] + down["bias"]) @ up["kernel"] + up["bias"]
    norm = nn.LayerNorm(epsilon=1e-12).bind({"params": params["layer_output_ln"]})
    found = net.apply({"params": {**params, "adapter": {"down": down, "up": up}}}, x, True)
    chex.assert_trees_all_close(found, norm(x + output + bottleneck), atol=1e-4)


def attended(params, x, prefix, visible):
    """Softmax over the prefix and the positions that are visible, written out."""
    query, key, value = (ToHeads(H, INIT).apply({"params": params[n]}, x) for n in
                         ("query", "key", "value"))  # fmt: skip
    keys, values = (
        jnp.concatenate([jnp.broadcast_to(prefix[name], (B, H, S, E)), own], axis=2)
        for name, own in (("keys", key), ("values", value))
    )
    scores = jnp.einsum("bhqe,bhke->bhqk", query, keys) / E**0.5
    seen = jnp.concatenate([jnp.ones((L, S), bool), visible], axis=1)
    return jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ values


def test_every_position_sees_the_prefix_and_itself_as_before():
    x, prefix = normal(0, B, L, D), {"keys": normal(1, H, S, E), "values": normal(2, H, S, E)}
    both = SelfAttention(H, 0.0, INIT), CausalAttention(H, 0.0)
    rest = (True, None, None), (None, 0, None, True)
    everything, past = jnp.ones((L, L), bool), jnp.tril(jnp.ones((L, L), bool))
    for net, arguments, visible, out in zip(
        both, rest, (everything, past), ("out", "projection"), strict=True
    ):
        params = net.init(jax.random.key(3), x, *arguments)["params"]
        found, cache = net.apply({"params": {**params, "prefix": prefix}}, x, *arguments)
        wanted = FromHeads(INIT).apply(
            {"params": params[out]}, attended(params, x, prefix, visible)
        )
        chex.assert_trees_all_close(found, wanted, atol=1e-5)
        assert cache.keys.shape == (B, H, L, E)  # The prefix is no part of it.
