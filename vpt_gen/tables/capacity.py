"""Calculates what fits on a TPU slice, and how fast it can be: the tables of docs/scaling.md."""

import math

from jax.sharding import AbstractMesh, AxisType

from vpt_gen.machine import sharding
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.tables.chips import SLICES, Slice
from vpt_gen.tables.costs import (
    MODELS,
    Model,
    decoding_bytes,
    decoding_flops,
    num_params,
    tuning_bytes,
    tuning_flops,
    weight_bytes,
)

UTILIZATION = 0.5  # of a chip's peak, and of its bandwidth
FREE = 0.1  # of the memory, for everything not counted here


def make_mesh(chips: int, fsdp: int = 1, tensor: int = 1) -> AbstractMesh:
    """Makes the mesh of a slice without its devices."""
    shape = (chips // (fsdp * tensor), fsdp, tensor)
    return AbstractMesh(shape, sharding.AXES, axis_types=(AxisType.Auto,) * len(shape))


def largest_batch(where: Slice, weights: int, net: TokenTransformer, an_image: int) -> int:
    """Returns the images that fit in a chip's memory besides weights and a layer's copy of them."""
    room = where.chip.memory * (1 - FREE) - weights - 2 * net.layer_parameters
    return max(0, int(room // an_image))


def token_seconds(model: Model, where: Slice, images: int) -> float:
    """Seconds per token of a chip's images, autoregressive: weights and cache are read once."""
    flops = images * decoding_flops(model) / model.num_tokens
    read = weight_bytes(model.net, make_mesh(1)) + images * decoding_bytes(model)
    return max(flops / where.chip.flops, read / where.chip.bandwidth) / UTILIZATION


def decoded_images_a_second(model: Model, where: Slice, images: int) -> float:
    """Returns the images per second of a chip that decodes `images` at a time."""
    if model.autoregressive:
        return images / (model.num_tokens * token_seconds(model, where, images))
    return UTILIZATION * where.chip.flops / decoding_flops(model)


def _about(rate: float) -> str:
    """Formats a rate with two significant digits: an estimate has no more."""
    digits = 1 - math.floor(math.log10(rate))
    return f"{round(rate, digits):,.{max(digits, 0)}f}"


def _table(head: str, rows: list[list[str]]) -> str:
    columns = head.split("|")
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines)


def chips_table() -> str:
    """Formats the published data of the chips."""
    rows = [
        [
            f"{name} ({where.count} chips)",
            f"{where.chip.flops / 1e12:.0f} TFLOP/s",
            f"{where.chip.memory / 1e9:.0f} GB",
            f"{where.chip.bandwidth / 1e9:,.0f} GB/s",
            where.chip.source,
        ]
        for name, where in SLICES.items()
    ]
    return _table("slice | peak of a chip | its HBM | its bandwidth | source", rows)


def models_table() -> str:
    """Formats parameters, and FLOPs per image."""
    rows = []
    for name, model in MODELS.items():
        flops = [tuning_flops(model, remat) for remat in ("none", "dots", "layer")]
        rows.append(
            [
                name,
                f"{num_params(model.net) / 1e6:,.0f} M",
                f"{weight_bytes(model.net, make_mesh(1)) / 1e9:.2f} GB",
                *(f"{x / 1e12:.2f}" for x in (*flops, decoding_flops(model))),
            ]
        )
    return _table(
        "model | parameters | in bfloat16 | tuning, TFLOPs per image | remat 'dots' | "
        "remat 'layer' | decoding, TFLOPs per image",
        rows,
    )


def tuning_table(remat: str = "dots") -> str:
    """Formats prompt tuning on the slices, all chips along `data`."""
    rows = []
    for name, where in SLICES.items():
        for label, model in MODELS.items():
            an_image = tuning_bytes(model, remat)
            weights = weight_bytes(model.net, make_mesh(1))
            batch = largest_batch(where, weights, model.net, an_image)
            images = UTILIZATION * where.chip.flops / tuning_flops(model, remat) * where.count
            rows.append(
                [
                    name,
                    label,
                    f"{weights / 1e9:.2f} GB",
                    f"{an_image / 1e9:.2f} GB",
                    f"{batch:,} x {where.count} = {batch * where.count:,}",
                    _about(images),
                    _about(images * model.num_tokens),
                ]
            )
    return _table(
        "slice | model | weights per chip | an image adds | largest batch | images/s | tokens/s",
        rows,
    )


def decoding_table() -> str:
    """Formats decoding on the slices, all chips along `data`, with as many images as fit."""
    rows = []
    for name, where in SLICES.items():
        for label, model in MODELS.items():
            an_image = decoding_bytes(model)
            weights = weight_bytes(model.net, make_mesh(1))
            batch = largest_batch(where, weights, model.net, an_image)
            rates = [where.count * decoded_images_a_second(model, where, n) for n in (1, 8, batch)]
            rows.append(
                [
                    name,
                    label,
                    f"{an_image / 1e9:.2f} GB",
                    f"{batch:,} x {where.count}",
                    *(_about(rate) for rate in rates),
                    _about(rates[-1] * model.num_tokens),
                ]
            )
    return _table(
        "slice | model | an image adds | largest batch | images/s of 1 per chip | of 8 per chip | "
        "of the largest batch | tokens/s of that",
        rows,
    )


def sharding_table() -> str:
    """Formats a chip's part of the weights in other meshes; the other chips are along `data`."""
    meshes: tuple[dict[str, int], ...] = (
        {},
        {"fsdp": 4},
        {"fsdp": 16},
        {"fsdp": 64},
        {"tensor": 4},
    )
    rows = [
        [
            label,
            *(f"{weight_bytes(model.net, make_mesh(64, **axes)) / 1e9:.3f} GB" for axes in meshes),
        ]
        for label, model in MODELS.items()
    ]
    return _table("model | data alone | fsdp 4 | fsdp 16 | fsdp 64 | tensor 4", rows)


TABLES = (chips_table, models_table, tuning_table, decoding_table, sharding_table)
