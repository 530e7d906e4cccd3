"""Measures how time and memory grow with batch, positions, prompts, iterations and layers.

A power law is fitted to three sizes of each, everything else equal; exponents show what dominates.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vpt_gen.benchmark.request import Request
from vpt_gen.benchmark.running import Running
from vpt_gen.benchmark.sizes import SIZES, Size
from vpt_gen.machine.progress import track

_REPEAT = 5


def _layers(size: Size, factor: int) -> Size:
    net = size.transformer
    return dataclasses.replace(size, transformer=net.clone(num_layers=factor * net.num_layers))


def _tokens(size: Size, factor: int) -> Size:
    """Returns a size with `factor` times the image side: N grows with its square."""
    net = size.transformer.clone(num_tokens=factor**2 * size.num_tokens)
    return dataclasses.replace(size, transformer=net, image_size=factor * size.image_size)


# Quantity -> (program, and value, size and request for a factor).
GROWTHS: dict[str, tuple[str, Callable[[Size, Request, int], tuple[int, Size, Request]]]] = {
    "batch": (
        "gradient",
        lambda size, r, f: (8 * f, size, dataclasses.replace(r, batch=8 * f)),
    ),
    "N": ("gradient", lambda size, r, f: (f**2 * size.num_tokens, _tokens(size, f), r)),
    "S": (
        "gradient",
        lambda size, r, f: (64 * f, size, dataclasses.replace(r, num_prompt_tokens=64 * f)),
    ),
    "layers": (
        "gradient",
        lambda size, r, f: (f * size.transformer.num_layers, _layers(size, f), r),
    ),
    "T": ("decode", lambda size, r, f: (4 * f, size, dataclasses.replace(r, num_iterations=4 * f))),
}


def measure(request: Request) -> list[dict[str, Any]]:
    """Measures every growth on `request.size`, a MaskGIT, in this process.

    Returns:
      For each: its name, values, fastest seconds, temporary bytes, and the exponents of both.
    """
    found = []
    with track(total=3 * len(GROWTHS), label="growth") as bar:
        for name, (what, grow) in GROWTHS.items():
            values, seconds, memory = [], [], []
            for factor in (1, 2, 4):
                asked = dataclasses.replace(request, what=what, way="ours", batch=4)
                value, size, asked = grow(SIZES[request.size], asked, factor)
                running = Running(asked, size)
                values.append(value)
                seconds.append(min(running.run() for _ in range(_REPEAT)))
                memory.append(running.facts.temporary_bytes)
                bar.update()
            found.append(
                {
                    "grows": name,
                    "what": what,
                    "values": values,
                    "seconds": seconds,
                    "temporary_bytes": memory,
                    "exponent_of_time": exponent(values, seconds),
                    "exponent_of_memory": exponent(values, memory),
                }
            )
    return found


def exponent(values: Sequence[float], results: Sequence[float]) -> float:
    """Fits a * value**p and returns p."""
    return float(np.polyfit(np.log(values), np.log(results), 1)[0])


def lines(found: list[dict[str, Any]]) -> list[str]:
    """Formats the result of `measure`."""
    return [
        f"{x['grows']:7}{x['values']!s:18} time ~ {x['grows']}^{x['exponent_of_time']:.2f}, "
        f"memory ~ {x['grows']}^{x['exponent_of_memory']:.2f}   ({x['what']}, "
        f"{', '.join(f'{s:.3f}' for s in x['seconds'])} s)"
        for x in found
    ]
