"""BigGAN in PyTorch: the state dicts `G_ema.pth` (or `G.pth`) and `D.pth` of one training.

Source: ajbrock/BigGAN-PyTorch `utils.save_weights`. Transfer needs both nets, so the
discriminator's file is looked up next to the generator's, under the release's name.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.biggan import (
    DISCRIMINATOR_WIDTHS,
    FIRST_SIDE,
    GENERATOR_WIDTHS,
    BigGAN,
    discriminator_sides,
)

_WHAT = {"generator": "generator of BigGAN", "discriminator": "discriminator of BigGAN"}
_FIRST_CONV = "blocks.0.0.conv1.weight"
_GAIN = "blocks.0.0.bn1.gain.weight"
# As `launch_BigGAN_bs256x8.sh` sets them; the tensors do not tell.
PUBLISHED_EPSILONS = {"bn_epsilon": 1e-5, "sn_epsilon": 1e-6}
# Our collection and leaf -> the file's name; other parameters keep their name.
_LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "embedding"): "weight",
    ("spectral", "u"): "u0",
    ("spectral", "sigma"): "sv0",
    ("batch_stats", "mean"): "stored_mean",
    ("batch_stats", "var"): "stored_var",
}


def read(
    path: pathlib.Path,
    bn_epsilon: float = PUBLISHED_EPSILONS["bn_epsilon"],
    sn_epsilon: float = PUBLISHED_EPSILONS["sn_epsilon"],
) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.biggan.BigGAN` and the variables of both nets.

    Args:
      path: the generator's file; `G_ema_best0.pth` goes with `D_best0.pth`.
      bn_epsilon: of the blocks' batch normalization.
      sn_epsilon: of spectral norms.

    Raises:
      UserError: a missing file, or tensors that do not belong to such nets.
    """
    paths = {"generator": path, "discriminator": _discriminator_file(path)}
    tensors = {name: torch_file.tensors(file) for name, file in paths.items()}
    found = {name: {n: t.shape for n, t in part.items()} for name, part in tensors.items()}
    fields = {
        **_generator_fields(path, found["generator"]),
        **_discriminator_fields(paths["discriminator"], found["discriminator"]),
        "bn_epsilon": bn_epsilon,
        "sn_epsilon": sn_epsilon,
    }
    with layout.expect(path, "BigGAN"):
        made = jax.eval_shape(BigGAN(**fields).init, jax.random.key(0))
    variables = {}
    for name, file in paths.items():
        flat = traverse_util.flatten_dict(made[name], sep="/")
        shapes = {_file_name(ours): _file_shape(ours, leaf.shape) for ours, leaf in flat.items()}
        layout.check(file, found[name], shapes)
        variables[name] = layout.nest(
            {ours: _value(file, tensors[name], ours, leaf.shape) for ours, leaf in flat.items()}
        )
    return fields, variables


def _discriminator_file(path: pathlib.Path) -> pathlib.Path:
    beside = path.with_name(re.sub(r"^G(_ema)?(?=[_.])", "D", path.name))
    if beside == path:
        raise UserError(
            f"{path} must have its released name, G_ema.pth or G.pth, so that D.pth can be found "
            "next to it; rename it."
        )
    if not beside.is_file():
        raise UserError(f"{beside} is missing: a BigGAN needs its discriminator; put it there.")
    return beside


def _generator_fields(path, found: layout.Shapes) -> dict[str, Any]:
    shared = "shared.weight" in found
    ranks = {"linear.weight": 2, _FIRST_CONV: 4, _GAIN: 2}
    ranks |= {"shared.weight": 2} if shared else {}
    layout.require(path, _WHAT["generator"], found, ranks)
    blocks = _num_blocks(found)
    resolution = _resolution(path, GENERATOR_WIDTHS, blocks + 1)
    # Without a shared embedding, gains are tables of classes.
    num_classes, shared_size = found["shared.weight"] if shared else (found[_GAIN][0], 0)
    hierarchical = shared and found[_GAIN][1] > shared_size
    z_size = found["linear.weight"][1]
    return {
        "num_classes": num_classes,
        "resolution": resolution,
        "generator_channels": found[_FIRST_CONV][1] // GENERATOR_WIDTHS[resolution][0],
        "z_size": z_size * (blocks + 1) if hierarchical else z_size,
        "shared_size": shared_size,
        "generator_attention": tuple(
            FIRST_SIDE << (block + 1) for block in range(blocks) if _attends(found, block)
        ),
        "hierarchical": hierarchical,
        "shared": shared,
    }


def _discriminator_fields(path, found: layout.Shapes) -> dict[str, Any]:
    layout.require(path, _WHAT["discriminator"], found, {"embed.weight": 2, _FIRST_CONV: 4})
    blocks = _num_blocks(found)
    resolution = _resolution(path, DISCRIMINATOR_WIDTHS, blocks)
    sides = discriminator_sides(resolution)
    attention = {sides[block][0] for block in range(blocks) if _attends(found, block)}
    return {
        "discriminator_channels": found[_FIRST_CONV][0] // DISCRIMINATOR_WIDTHS[resolution][0],
        "discriminator_attention": tuple(sorted(attention)),
    }


def _num_blocks(found: layout.Shapes) -> int:
    return layout.count(lambda block: f"blocks.{block}.0.conv1.weight" in found)


def _attends(found: layout.Shapes, block: int) -> bool:
    return f"blocks.{block}.1.theta.weight" in found


def _resolution(path, widths: Mapping[int, tuple[int, ...]], count: int) -> int:
    for resolution, known in widths.items():
        if len(known) == count:
            return resolution
    raise UserError(f"{path} is no BigGAN: no resolution has as many blocks.")


def _file_name(path: str) -> str:
    """'batch_stats/block_1/bn2/norm/var' -> 'blocks.1.0.bn2.stored_var'."""
    collection, *modules, leaf = path.split("/")
    leaf = _LEAVES.get((collection, leaf), leaf)
    if collection == "batch_stats":
        modules = modules[:-1]
    name = ".".join([*modules, leaf])
    name = re.sub(r"^block_(\d+)\.", r"blocks.\1.0.", name)
    name = re.sub(r"^attention_(\d+)\.", r"blocks.\1.1.", name)
    name = re.sub(r"^output_norm\.", "output_layer.0.", name)
    return re.sub(r"^output_conv\.", "output_layer.2.", name)


def _file_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Weights have outputs first; the state of spectral norms has an axis of length 1 in front."""
    if path.endswith("/kernel"):
        *sides, inputs, outputs = shape
        return (outputs, inputs, *sides)
    return (1, *shape) if path.startswith("spectral/") else shape


def _value(file, tensors, path: str, shape: tuple[int, ...]) -> np.ndarray:
    name = _file_name(path)
    values = tensors[name].read()
    if path.endswith("/kernel"):
        values = values.transpose(*range(2, values.ndim), 1, 0)
    return layout.floats(file, name, values).reshape(shape)
