"""Hours and dollars of tuning prompts to VTAB's 19 tasks and sampling from them, on paper.

A host runs one cell of `configs/study_vtab.py` at a time, so that a slice takes as many rounds as
its hosts need for all cells. `launch/` starts no studies on TPU slices, whose hosts need a command
of your own, each with its `--shard`.
"""

import dataclasses
import math

from vpt_gen.data.vtab.tasks import TASKS
from vpt_gen.recipes import adaptation
from vpt_gen.tables.capacity import UTILIZATION
from vpt_gen.tables.chips import CHIPS, MACHINES
from vpt_gen.tables.costs import MODELS, decoding_flops, tuning_flops

NUM_TASKS = len(TASKS)
# Of each task those of Caltech101, which the release trains.
_RELEASED = adaptation.vtab("caltech101", "")
NUM_UPDATES, BATCH_SIZE = _RELEASED.num_steps, _RELEASED.batch_size
NUM_SAMPLES = 50_000
MODEL = MODELS["MaskGIT-256"]


@dataclasses.dataclass(frozen=True)
class Place:
    """Hosts of equal devices.

    Attributes:
      hosts: that run cells side by side.
      devices: of a host.
      flops: peak of a device in bfloat16, per second.
      price: assumed, dollars per device and hour.
    """

    hosts: int
    devices: int
    flops: float
    price: float


PLACES = {
    "v4-8": Place(1, 4, CHIPS["v4"].flops, 3.22),
    "v5e-16": Place(4, 4, CHIPS["v5e"].flops, 1.20),
    "v5p-128": Place(16, 4, CHIPS["v5p"].flops, 4.20),
    "one H100": Place(1, 1, MACHINES["H100"].bfloat16, 3.00),
}


def cell_flops() -> tuple[int, int]:
    """Counts the FLOPs of a cell's updates, and of its samples' tokens."""
    tuning = NUM_UPDATES * BATCH_SIZE * tuning_flops(MODEL, "none")
    return tuning, NUM_SAMPLES * decoding_flops(MODEL)


def hours(place: Place, work: int) -> float:
    """Returns the hours of a cell's work (FLOPs) on a host."""
    return work / (UTILIZATION * place.flops * place.devices) / 3600


def sweep_table() -> str:
    """Formats the sweep by place."""
    tuning, sampling = cell_flops()
    lines = [
        "| place | hosts | tuning a task, h | its 50,000 samples, h | rounds | all 19, h "
        "| assumed $ per device and hour | dollars |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, place in PLACES.items():
        rounds = math.ceil(NUM_TASKS / place.hosts)
        whole = rounds * hours(place, tuning + sampling)
        dollars = whole * place.hosts * place.devices * place.price
        lines.append(
            f"| {name} | {place.hosts} | {hours(place, tuning):.2f} | {hours(place, sampling):.2f} "
            f"| {rounds} | {whole:.1f} | {place.price:.2f} | {dollars:,.0f} |"
        )
    return "\n".join(lines)
