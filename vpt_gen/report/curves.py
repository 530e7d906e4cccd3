"""Section: training curves."""

import math

from vpt_gen.evaluation.curves import Curves
from vpt_gen.report.charts import (
    Series,
    chart,
    number,
)
from vpt_gen.report.html import (
    Node,
    fold,
    h,
    section,
    table,
)

_PARTS = {"train": "var(--first)", "eval": "var(--second)"}
_MAX_ROWS = 40


def curves_section(curves: Curves, evaluated_on: str = "held-out images") -> Node:
    """Draws one chart per scalar, with training values and others; and a table of all.

    Args:
      curves: of the run.
      evaluated_on: the images of the others, in words.
    """
    if not curves:
        return section(
            "curves",
            "Training curves",
            h(
                "p",
                "The working directory holds no TensorBoard events, so there are no curves.",
            ),
        )
    scalars = sorted({_base(name) for name in curves}, key=lambda name: (name != "loss", name))
    return section(
        "curves",
        "Training curves",
        h("p.quiet", _about(curves, evaluated_on)),
        h("div.charts", *(_chart(curves, scalar, evaluated_on) for scalar in scalars)),
        fold("As a table", _table(curves)),
    )


def _base(name: str) -> str:
    """Returns the common name of train/loss and eval/loss."""
    part, _, rest = name.partition("/")
    return rest if part in _PARTS and rest else name


def _about(curves: Curves, evaluated_on: str) -> str:
    text = "Training values are means over the updates since the previous value."
    loss = f"{text} The loss of {evaluated_on} was"
    if "eval/loss" not in curves:
        return f"{text} No loss of {evaluated_on} was measured in this run."
    steps, values = curves["eval/loss"]
    finite = [i for i, value in enumerate(values) if math.isfinite(value)]
    if not finite:
        return f"{loss} never finite: the run diverged."
    best = min(finite, key=values.__getitem__)
    if steps[best] == steps[-1]:
        return f"{loss} lowest at the end: {number(values[-1])}."
    return (
        f"{loss} lowest at update {steps[best]:,}: {number(values[best])}; "
        f"it ended at {number(values[-1])}."
    )


def _chart(curves: Curves, scalar: str, evaluated_on: str) -> Node:
    names = {"train": "training", "eval": evaluated_on}
    series = [
        Series(names[part], *curves[f"{part}/{scalar}"], color=color, shape=shape)
        for shape, (part, color) in enumerate(_PARTS.items())
        if f"{part}/{scalar}" in curves
    ] or [Series("", *curves[scalar])]
    return chart(series, scalar.replace("_", " ").capitalize(), "update")


def _table(curves: Curves) -> Node:
    """Formats values at up to `_MAX_ROWS` updates, evenly spaced, including all evaluations."""
    names = sorted(curves)
    at = {name: dict(zip(*curves[name], strict=True)) for name in names}
    steps = sorted({step for values in at.values() for step in values})
    every = -(-len(steps) // _MAX_ROWS)
    rare = {s for name in names if len(at[name]) <= _MAX_ROWS for s in at[name]}
    shown = [s for i, s in enumerate(steps) if i % every == 0 or s in rare or s == steps[-1]]
    rows = [
        [f"{s:,}", *(number(at[name][s]) if s in at[name] else "" for name in names)] for s in shown
    ]
    return table(["update", *names], rows)
