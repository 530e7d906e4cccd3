"""TPU chips and slices, and machines to tune on, with the data published by their vendors."""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published data of a chip.

    Attributes:
      flops: peak per second, in bfloat16.
      memory: bytes of HBM.
      bandwidth: of the HBM, bytes per second.
      source: of these data.
    """

    flops: float
    memory: float
    bandwidth: float
    source: str


CHIPS = {
    "v4": Chip(275e12, 32 * GIB, 1200e9, "cloud.google.com/tpu/docs/v4"),
    "v5e": Chip(197e12, 16e9, 819e9, "cloud.google.com/tpu/docs/v5e"),
    "v5p": Chip(459e12, 95e9, 2765e9, "cloud.google.com/tpu/docs/v5p"),
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips that work together; names of v4 and v5p count two cores per chip."""

    chip: Chip
    count: int


SLICES = {
    "v4-8": Slice(CHIPS["v4"], 4),
    "v5e-16": Slice(CHIPS["v5e"], 16),
    "v5p-128": Slice(CHIPS["v5p"], 64),
}


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine of one or several equal devices.

    Attributes:
      count: of its devices.
      bfloat16: peak of a device's products of bfloat16 matrices, per second.
      float32: of float32 matrices at JAX's default precision, which is less than float32 on TPUs
        (bfloat16) and on newer GPUs (TF32).
      exact: of float32 matrices without rounding, as tokenizers need.
      memory: of a device, bytes.
      available: share of the memory that a program gets.
      source: of these data.
    """

    count: int
    bfloat16: float
    float32: float
    exact: float
    memory: float
    available: float
    source: str


# A GPU's memory: JAX takes three quarters of it, unless told otherwise.
MACHINES = {
    # Eight cores at 2.4 GHz, each with two fused multiply-adds of eight numbers per cycle (AVX2).
    "laptop": Machine(
        1, 0.6e12, 0.6e12, 0.6e12, 16e9, 0.75, "assumed: 8 cores with AVX2 at 2.4 GHz"
    ),
    # It has neither bfloat16 nor TF32: XLA computes both as float32.
    "T4": Machine(1, 8.1e12, 8.1e12, 8.1e12, 16e9, 0.75, "nvidia.com/en-us/data-center/tesla-t4"),
    "H100": Machine(1, 989e12, 494e12, 67e12, 80e9, 0.75, "nvidia.com/en-us/data-center/h100"),
    # Six passes of bfloat16 make a product of float32.
    "v5e-8": Machine(
        8,
        CHIPS["v5e"].flops,
        CHIPS["v5e"].flops,
        CHIPS["v5e"].flops / 6,
        CHIPS["v5e"].memory,
        0.9,
        CHIPS["v5e"].source,
    ),
}
