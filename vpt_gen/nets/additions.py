"""Small parts that can be added to a transformer's own: it runs those that its parameters hold.

They lie in the same tree, beside what they change; without them a net computes exactly what it did.
A net's `init` never makes them: `methods/lora.py` and its neighbors do. They compute in the type
of what they are added to.

| in the tree of | subtree | what it is |
|---|---|---|
| a product (`nets/layers.py`) | lora/{down,up}/kernel | a product of low rank beside it |
| a layer of a GPT | {attention,mlp}_adapter/{down,up} | bottlenecks behind attention and MLP |
| an attention, an MLP of a MaskGIT | adapter/{down,up} | the same |
| an attention | prefix/{keys,values} | positions that all others see, and that see nothing |
| the net | class_embeddings/embedding | class tokens, instead of the net's own |
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

CLASS_EMBEDDINGS = "class_embeddings"


def class_rows(net: nn.Module, class_ids: jax.Array) -> jax.Array | None:
    """The rows (B, D) of the net's added class tokens; None where it has its own alone."""
    table = _own(net, CLASS_EMBEDDINGS)
    # Ids that are none have a row, too: the net does not use it.
    return None if table is None else jnp.take(table["embedding"], class_ids, axis=0, mode="clip")


class LowRank(nn.Module):
    """(x, its product with a matrix) -> that product, and x down up where these are added."""

    @nn.compact
    def __call__(self, x: jax.Array, product: jax.Array) -> jax.Array:
        if not self.has_variable("params", "down"):
            return product
        down, up = (_own(self, name)["kernel"] for name in ("down", "up"))
        x = x.astype(product.dtype) @ down.astype(product.dtype)
        return product + x @ up.astype(product.dtype)


class Adapter(nn.Module):
    """x -> x + up(gelu(down(x))) where such a bottleneck is added, else x."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.has_variable("params", "down"):
            return x
        down, up = (_own(self, name) for name in ("down", "up"))
        hidden = nn.gelu(_dense(x, down), approximate=True)
        return x + _dense(hidden, up)


def _own(net: nn.Module, name: str) -> Any:
    return net.get_variable("params", name)


def _dense(x: jax.Array, layer) -> jax.Array:
    return x @ layer["kernel"].astype(x.dtype) + layer["bias"].astype(x.dtype)


def with_prefix(
    attention: nn.Module, key: jax.Array, value: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Keys and values (B, H, L, E), behind added ones (H, S, E) where the attention has these."""
    prefix = _own(attention, "prefix")
    if prefix is None:
        return key, value

    def before(added: jax.Array, own: jax.Array) -> jax.Array:
        added = jnp.broadcast_to(added.astype(own.dtype), (len(own), *added.shape))
        return jnp.concatenate([added, own], axis=2)

    return before(prefix["keys"], key), before(prefix["values"], value)
