"""A compiled program that can be run."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax

from vpt_gen.benchmark import programs, rates
from vpt_gen.benchmark.request import Request
from vpt_gen.benchmark.sizes import SIZES, Size

# Threads of the previous program may still be busy waiting.
_SHORTEST_SECONDS = 0.3


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts about a program before it runs.

    Attributes:
      device: kind of the device.
      num_devices: number of devices; the first one is used.
      trace_seconds: of tracing Python to a program.
      compile_seconds: of compiling that to machine code.
      flops: of its products, by formula.
      xla_flops: as counted by the compiler; bodies of loops count once.
      bytes: that it must read, if reading limits it.
      temporary_bytes: besides inputs and outputs, as planned by the compiler.
      argument_bytes: of its inputs.
      units: images or tokens per run.
      unit: 'images' or 'tokens'.
    """

    device: str
    num_devices: int
    trace_seconds: float
    compile_seconds: float
    flops: int
    xla_flops: float
    bytes: int
    temporary_bytes: int
    argument_bytes: int
    units: int
    unit: str


class Running:
    """Builds and compiles the program of a request, on its size or another one."""

    def __init__(self, request: Request, size: Size | None = None):
        module = rates if request.what in rates.RATES else programs
        program = module.build(size or SIZES[request.size], request)
        start = time.monotonic()
        jitted = jax.jit(program.function, donate_argnums=(0,) if program.carries else ())
        lowered = jitted.lower(*program.arguments)
        traced = time.monotonic()
        self._compiled = lowered.compile()
        compiled = time.monotonic()
        self._carries, self._arguments = program.carries, program.arguments
        memory: Any = self._compiled.memory_analysis()
        costs = self._compiled.cost_analysis() or {}
        self.facts = Facts(
            device=jax.devices()[0].device_kind,
            num_devices=jax.device_count(),
            trace_seconds=traced - start,
            compile_seconds=compiled - traced,
            flops=program.flops,
            xla_flops=costs.get("flops", 0.0),
            bytes=program.bytes,
            temporary_bytes=memory.temp_size_in_bytes,
            argument_bytes=memory.argument_size_in_bytes,
            units=program.units,
            unit=program.unit,
        )
        self.run()  # The first run allocates its memory.

    def run(self) -> float:
        """Returns the seconds of a run until all outputs are ready; a mean of short runs."""
        return mean_seconds(self._once)

    def _once(self) -> None:
        outputs = jax.block_until_ready(self._compiled(*self._arguments))
        if self._carries:
            self._arguments = (outputs[0], *self._arguments[1:])


def mean_seconds(run: Callable[[], object]) -> float:
    """Returns the mean seconds of as many runs as together take long enough."""
    start, count = time.monotonic(), 0
    while not count or time.monotonic() - start < _SHORTEST_SECONDS:
        run()
        count += 1
    return (time.monotonic() - start) / count
