"""Small modules that can be added to a transformer, which runs those that its parameters hold.

They lie in the same tree, next to what they change; without them a net computes what it did before.
A net's `init` never makes them; the methods (`methods/lora.py` and others) do. They compute in the
type of what they are added to. All examples of a batch share them, or each has its own
(`each_with_its_own`).

| in the tree of | subtree | what it is |
|---|---|---|
| a product (`nets/layers.py`) | lora/{down,up}/kernel | a low-rank product added to it |
| a layer of a GPT | {attention,mlp}_adapter/{down,up} | bottlenecks after attention and MLP |
| | {attention,mlp}_adapter/scale | a factor per channel, after that |
| an attention, an MLP of a MaskGIT | adapter/{down,up}, adapter/scale | the same |
| an attention | prefix/{keys,values} | positions that all others attend to |
| the net | class_embeddings/embedding | class tokens, instead of the net's own |
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.transformer import NO_CLASS

CLASS_EMBEDDINGS = "class_embeddings"


def merge(params: Any, added: Any) -> Any:
    """Merges two trees; if both have an array, the added one is used."""
    if not isinstance(added, Mapping):
        return added
    both = dict(params)
    for name, part in added.items():
        both[name] = merge(both.get(name, {}), part)
    return both


def with_own_classes(params: Any) -> Any:
    """Returns a net's parameters without added class tokens: classes are then the net's own."""
    return {name: part for name, part in params.items() if name != CLASS_EMBEDDINGS}


def each_with_its_own(
    function: Callable[..., Any], params: Any, additions: Any, *arguments: Any
) -> Any:
    """Calls a function of a batch so that each of its rows has additions of its own.

    What the rows share is multiplied with all at once, as in a batch.

    Args:
      function: (parameters, *arguments) -> a tree of arrays (B, ...).
      params: what all rows share.
      additions: a tree of arrays (B, ...), one row's are merged into `params`.
      *arguments: trees of arrays (B, ...).
    """

    def one(own: Any, *row: Any) -> Any:
        alone = jax.tree.map(lambda x: x[None], row)
        return jax.tree.map(lambda x: x[0], function(merge(params, own), *alone))

    return jax.vmap(one)(additions, *arguments)


def class_rows(net: nn.Module, class_ids: jax.Array) -> jax.Array | None:
    """The rows (B, D) of the net's added class tokens; None if there are only its own."""
    table = _own(net, CLASS_EMBEDDINGS)
    # An id without a class gets a row too; the net does not use it.
    return None if table is None else jnp.take(table["embedding"], class_ids, axis=0, mode="clip")


def own_or_added(net: nn.Module, class_ids: jax.Array, own: jax.Array) -> jax.Array:
    """Replaces the net's own rows (B, D) of classes (B,) by those added to it, if any are.

    That of `NO_CLASS`, which guidance leads away from, stays the net's own.
    """
    added = class_rows(net, class_ids)
    if added is None:
        return own
    return jnp.where((class_ids == NO_CLASS)[:, None], own, added.astype(own.dtype))


class LowRank(nn.Module):
    """(x, its product with a matrix) -> that product, plus x down up if these are added."""

    @nn.compact
    def __call__(self, x: jax.Array, product: jax.Array) -> jax.Array:
        if not self.has_variable("params", "down"):
            return product
        down, up = (_own(self, name)["kernel"] for name in ("down", "up"))
        x = x.astype(product.dtype) @ down.astype(product.dtype)
        return product + x @ up.astype(product.dtype)


class Adapter(nn.Module):
    """What a branch gives, x (..., D) -> scale * (x + up(gelu(down(x)))), of what is added."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.has_variable("params", "down"):
            down, up = (_own(self, name) for name in ("down", "up"))
            hidden = nn.gelu(_dense(x, down), approximate=True)
            x = x + _dense(hidden, up)
        if self.has_variable("params", "scale"):
            x = x * _own(self, "scale").astype(x.dtype)
        return x


def _own(net: nn.Module, name: str) -> Any:
    return net.get_variable("params", name)


def _dense(x: jax.Array, layer) -> jax.Array:
    return x @ layer["kernel"].astype(x.dtype) + layer["bias"].astype(x.dtype)


def with_prefix(
    attention: nn.Module, key: jax.Array, value: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Keys and values (B, H, L, E), after added ones (H, S, E) if the attention has these."""
    prefix = _own(attention, "prefix")
    if prefix is None:
        return key, value

    def before(added: jax.Array, own: jax.Array) -> jax.Array:
        added = jnp.broadcast_to(added.astype(own.dtype), (len(own), *added.shape))
        return jnp.concatenate([added, own], axis=2)

    return before(prefix["keys"], key), before(prefix["values"], value)
