"""Memory and time of tuning a candidate on a machine, and the settings with which it fits."""

import dataclasses
import itertools
import math
from collections.abc import Iterator

import jax.numpy as jnp

from vpt_gen.methods.adaptation import NUM_PICTURES, PICTURES_AT_A_TIME
from vpt_gen.tables.candidates import NUM_IMAGES, Candidate
from vpt_gen.tables.capacity import UTILIZATION, make_mesh
from vpt_gen.tables.chips import Machine
from vpt_gen.tables.costs import tuning_bytes, tuning_flops, weight_bytes
from vpt_gen.tables.method_sizes import num_bytes

# Images per device, while the token cache is made.
_TOKENIZED_AT_A_TIME = 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may change so that a run fits: `config.compute.dtype`, `.remat` and batch_size."""

    dtype: str
    remat: str
    batch_size: int

    @property
    def number_size(self) -> int:
        """Bytes of a number in the matrices."""
        return jnp.dtype(self.dtype).itemsize

    def changes(self, other: "Settings") -> dict[str, str | int]:
        """Returns the fields that differ from others."""
        values = dataclasses.asdict(self)
        return {name: x for name, x in values.items() if x != getattr(other, name)}


def own_settings(choice: Candidate) -> Settings:
    """Returns what a candidate's config says."""
    compute = choice.config.compute
    return Settings(compute.dtype, compute.remat, choice.config.batch_size)


# Bytes on one device.


def held_bytes(choice: Candidate, settings: Settings) -> int:
    """Returns what stays on a device: both nets, a layer's copy, and what is trained."""
    weights = weight_bytes(choice.model.net, make_mesh(1), settings.number_size)
    copy = settings.number_size * choice.model.net.layer_parameters
    return weights + copy + num_bytes(choice.tokenizer_shapes) + num_bytes(choice.state)


def tuning_memory(choice: Candidate, settings: Settings, devices: int = 1) -> int:
    """Returns the bytes of tuning: of an update, or of tokenizing or drawing pictures, if more."""
    update = tuning_bytes(choice.model, settings.remat, settings.number_size)
    pictures = math.ceil(NUM_PICTURES / devices)
    return held_bytes(choice, settings) + max(
        math.ceil(settings.batch_size / devices) * update,
        _TOKENIZED_AT_A_TIME * choice.tokenizing.bytes,
        pictures * choice.drawing.bytes,
        min(pictures, PICTURES_AT_A_TIME) * choice.detokenizing.bytes,
    )


def sampling_memory(choice: Candidate) -> int:
    """Returns the bytes of drawing images with the config's batches, on one device."""
    decode = choice.config.decode
    return held_bytes(choice, own_settings(choice)) + max(
        decode.batch_size * choice.drawing.bytes,
        decode.tokenizer_batch_size * choice.detokenizing.bytes,
    )


# Seconds.


def tuning_seconds(choice: Candidate, settings: Settings, machine: Machine) -> float:
    """Returns the seconds of tokenizing the images, of all updates, and of the pictures."""
    config = choice.config
    peak = {"float32": machine.float32, "bfloat16": machine.bfloat16}[settings.dtype]
    images = config.num_steps * settings.batch_size
    pictures = NUM_PICTURES * (config.num_steps // config.eval_every)
    products = images * tuning_flops(choice.model, settings.remat) + pictures * choice.drawing.flops
    exact = (
        NUM_IMAGES * config.data.cache_views * choice.tokenizing.flops
        + pictures * choice.detokenizing.flops
    )
    return (products / peak + exact / machine.exact) / (UTILIZATION * machine.count)


def fitting(choice: Candidate, machine: Machine) -> Settings | None:
    """Returns the config's own settings if they fit a machine, else the fastest that do.

    The batch is halved only if nothing else helps. None if one image per device is too much.
    """
    own = own_settings(choice)

    def cost(settings: Settings) -> tuple[float, int]:
        return tuning_seconds(choice, settings, machine), len(settings.changes(own))

    for group in _alternatives(own, machine.count):
        fit = [
            settings
            for settings in group
            if tuning_memory(choice, settings, machine.count) <= machine.available * machine.memory
        ]
        if fit:
            return min(fit, key=cost)
    return None


def _alternatives(own: Settings, devices: int) -> Iterator[list[Settings]]:
    """Yields settings in the order in which to try them, those that are equally good together."""
    yield [own]
    batch_size = own.batch_size
    while batch_size >= devices:
        choices = itertools.product(("float32", "bfloat16"), ("none", "dots", "layer"))
        yield [Settings(dtype, remat, batch_size) for dtype, remat in choices]
        batch_size //= 2
