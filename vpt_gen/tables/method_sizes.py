"""`python -m vpt_gen.tables.method_sizes`: what each method trains, and its optimizer's memory.

Counted on the real modules and the real optimizer, without allocating them, for docs/methods.md.
"""

from __future__ import annotations

import functools
from typing import Any, cast

from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.checkpoints import shipped
from vpt_gen.errors import UserError
from vpt_gen.machine import later

with later.imports(globals()):
    import jax
    import jax.numpy as jnp

    from vpt_gen.checkpoints.backbone import load_net
    from vpt_gen.config.fields import TRANSFORMER_METHODS
    from vpt_gen.methods import METHODS
    from vpt_gen.methods.record import Target, TransformerMethod
    from vpt_gen.nets.transformer import TokenTransformer
    from vpt_gen.recipes import adaptation
    from vpt_gen.tables.costs import MODELS, num_params, param_shapes
    from vpt_gen.training.optimizers import make_optimizer
    from vpt_gen.training.state import TrainState

# Classes to adapt to: the demo's digits; Caltech101 with its background.
_DEMO, _VTAB = 10, 102


def train_state(
    config: ConfigDict, net: TokenTransformer, num_tokens: int, num_classes: int
) -> TrainState:
    """Returns the shapes of the trained parameters and the optimizer state of a config's method."""
    target = Target(net, num_tokens, num_classes, dtype=config.compute.dtype)
    record = cast(TransformerMethod, METHODS[config.task].from_config(config))
    method = record.adapt(target)
    params = jax.eval_shape(method.init, jax.random.key(0), param_shapes(net))
    opt_state = jax.eval_shape(make_optimizer(config.optimizer, config.num_steps).init, params)
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state)


def size(tree: Any) -> int:
    """Counts the numbers in a tree."""
    return sum(x.size for x in jax.tree.leaves(tree))


def num_bytes(tree: Any) -> int:
    """Counts the bytes of a tree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _row(method: str) -> str:
    cells = []
    for net, num_tokens, num_classes, recipe in _models().values():
        try:
            state = train_state(recipe(method), net, num_tokens, num_classes)
        except UserError:  # A method that the net does not allow.
            cells.append(" – | – | – |")
            continue
        trained, held = size(state.params), num_bytes(state.opt_state)
        cells.append(f" {trained:,} | {trained / num_params(net):,.2%} | {held / 1e6:,.1f} |")
    return f"| `{method}` |{''.join(cells)}"


@functools.cache
def _models():
    """Returns name -> net, N, C, and the recipe of its config."""
    demo = load_net(f"{shipped.DEMO}/transformer", "maskgit").net
    published = {
        "MaskGIT, 256 px": (MODELS["MaskGIT-256"], "nar"),
        "Taming GPT, 256 px": (MODELS["taming cIN"], "ar"),
    }
    return {"demo": (demo, demo.num_tokens, _DEMO, functools.partial(adaptation.demo, "nar"))} | {
        name: (
            model.net,
            model.num_tokens,
            _VTAB,
            functools.partial(_published, family),
        )
        for name, (model, family) in published.items()
    }


def _published(family: str, method: str) -> ConfigDict:
    return adaptation.fewshot(f"{family},{method}")


def table() -> str:
    """One row per method: trained parameters, their share of the transformer's, optimizer MB."""
    heads = [
        f" {name}: trained | of {num_params(net) / 1e6:,.1f} M | optimizer, MB |"
        for name, (net, *_) in _models().items()
    ]
    return "\n".join(
        [
            f"| method |{''.join(heads)}",
            "|---|" + "---:|---:|---:|" * len(heads),
            *map(_row, TRANSFORMER_METHODS),
        ]
    )


if __name__ == "__main__":
    cli.run(lambda: print(table()))
