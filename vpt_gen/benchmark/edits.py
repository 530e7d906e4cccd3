"""Measures an edit, which draws a part of the tokens, against drawing a whole image.

The last tokens are drawn, as a causal transformer needs it, in as many iterations as
`vpt_gen.edit` takes (`runs/editing.py`); the tokenizer's part is the same for all shares and left
out.
"""

import dataclasses
import fractions
import statistics
from collections.abc import Sequence
from typing import Any

from vpt_gen.benchmark.comparison import compare
from vpt_gen.benchmark.request import Request
from vpt_gen.runs.editing import iterations_for

# Of the tokens, the parts that are drawn.
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)


def measure(request: Request, decoders: Sequence[str], repeat: int) -> list[dict[str, Any]]:
    """Measures edits by some decoders; the programs of a decoder take turns.

    Args:
      request: of a whole image.
      decoders: of the size's transformer.
      repeat: number of measured runs of each program.

    Returns:
      For each decoder: its name, the records of a whole image and of `SHARES` (see
      `comparison.compare`), and for each share the ratios of its seconds to the whole image's, turn
      by turn.
    """
    found = []
    for decoder in decoders:
        whole = dataclasses.replace(request, decoder=decoder)
        edits = [_edit(whole, share) for share in SHARES]
        records = compare([whole, *edits], repeat, f"edits, {decoder}")
        found.append({"decoder": decoder, "records": records, "ratios": ratios(records)})
    return found


def _edit(whole: Request, share: float) -> Request:
    steps = iterations_for(whole.num_iterations, share)
    return dataclasses.replace(whole, edited=share, num_iterations=steps)


def ratios(records: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Returns the ratios of the seconds of each record but the first to those of the first."""
    whole, *edits = records
    return [
        [own / all_of_it for own, all_of_it in zip(x["seconds"], whole["seconds"], strict=True)]
        for x in edits
    ]


def lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Formats the result of `measure` as a table: medians, and the lowest and highest ratio."""
    head = ["decoder", *(str(fractions.Fraction(share)) for share in SHARES), "whole image"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for x in found:
        whole = statistics.median(x["records"][0]["seconds"])
        rows.append([f"`{x['decoder']}`", *map(_spread, x["ratios"]), f"{whole:.3g} s"])
    return [f"| {' | '.join(row)} |" for row in rows]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
