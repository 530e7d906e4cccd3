"""TPU chips and slices, with the data published by their vendor."""

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
