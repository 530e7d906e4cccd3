"""Section: the measured figures, each with everything needed to reproduce it."""

import math
from collections.abc import Mapping
from typing import Any

from etils import epath

from vpt_gen.evaluation.report import MARK, fault_of, remarks, summary, with_new_names
from vpt_gen.machine import json_files
from vpt_gen.report.charts import number
from vpt_gen.report.html import (
    Node,
    command,
    fold,
    h,
    section,
    table,
)

# Files with the measurements of `vpt_gen.evaluate` and of training.
FILES = ("evaluation/metrics.json", "metrics.json")
_BETTER = {
    "lower": "↓ lower",
    "higher": "↑ higher",
    "neither": "like real",
    "not below real": "not below real",
}
# Ends of the demo's names of figures, by what was measured.
_COLUMNS = ("_untuned", "", "_reconstructed", "_real")


def read_metrics(workdir: str) -> dict[str, dict[str, Any]]:
    """Reads the records in a run's working directory: file -> record.

    Raises:
      UserError: a damaged file.
    """
    records, cure = {}, "delete it, and measure again to have its figures"
    for name in FILES:
        path = epath.Path(workdir) / name
        if path.is_file():
            record = json_files.read_object(path, cure)
            if fault := fault_of(record):
                raise json_files.DamagedFileError(path, fault, cure)
            records[name] = with_new_names(record)
    return records


def figures_section(records: Mapping[str, Mapping[str, Any]], measuring: str) -> Node:
    """Makes the section of the figures of each file.

    Args:
      records: see `read_metrics`.
      measuring: the command that measures the run.
    """
    parts = []
    for name, record in records.items():
        parts.append(h("h3", h("code", name)) if len(records) > 1 else None)
        parts += _record(record)
    hint = "To measure again" if records else "Nothing was measured in this run yet. To measure it"
    return section("figures", "Figures", *parts, h("p", f"{hint}:"), command(measuring))


def _record(record: Mapping[str, Any]) -> list[Node]:
    nodes = []
    if figures := record.get("figures"):
        rows = [_row(name, figure) for name, figure in figures.items()]
        head = ["figure", "generated", "real", "against real", "better", "meaning"]
        if "reference" in record.get("protocol", {}):
            nodes.append(h("p", f"{summary(record)}."))
        nodes += [h("p", sentence) for sentence in remarks(record)]
        nodes.append(h("div.figures", table(head, rows)))
        nodes.append(
            h(
                "p.quiet",
                "Real: the floor, the same figure of real images instead of generated ones. The "
                "bar is the generated value, the mark on it the real one.",
            )
        )
    if protocols := _protocols(record):
        nodes.append(fold("How they were measured: the whole protocol of each", *protocols))
    plain = {k: v for k, v in record.items() if isinstance(v, int | float)}
    if plain:
        nodes += _plain(plain)
    if left_out := record.get("left_out"):
        nodes.append(h("h3", "Not measured"))
        nodes.append(table(["figure", "why"], [[n, reason] for n, reason in left_out.items()]))
    return nodes


def _row(name: str, figure: Mapping[str, Any]) -> list[Node | str]:
    spread = f"\u00a0±\u00a0{figure['std']:.1g}" if figure.get("std") is not None else ""
    floor = h("span.whole", _cell(figure.get("floor")))
    better = h("span.whole", _BETTER.get(figure.get("better", ""), ""))
    value = h("b.whole", _cell(figure.get("value")) + spread)
    name += f"\u00a0{MARK}" * ("warning" in figure)
    return [name, value, floor, _bar(figure), better, figure.get("meaning", "")]


def _bar(figure: Mapping[str, Any]) -> Node | str:
    """Draws the value as a bar, and its floor as a mark; values below 0 count as 0.

    Empty if one of them could not be measured.
    """
    if not all(_is_number(figure.get(part)) for part in ("value", "floor")):
        return ""
    value, floor = max(figure["value"], 0), max(figure["floor"], 0)
    longest = max(value, floor) or 1
    return h(
        "div.bar",
        h("i", style=f"width:{value / longest:.1%}"),
        h("u", style=f"left:{floor / longest:.1%}"),
        title=f"{number(figure['value'])}, real {number(figure['floor'])}",
    )


def _protocols(record: Mapping[str, Any]) -> list[Node]:
    """Makes one fold per figure, after that of the common protocol."""
    shared = {"all figures": record.get("protocol")}
    own = {name: figure.get("protocol") for name, figure in record.get("figures", {}).items()}
    return [fold(name, _tree(protocol)) for name, protocol in (shared | own).items() if protocol]


def _tree(value: Any) -> Node:
    """Formats a record of any depth as a table of names and values."""
    return table(["field", "value"], [[k, h("code", str(v))] for k, v in _leaves(value)])


def _leaves(value: Any, name: str = ""):
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _plain(values: Mapping[str, float]) -> list[Node]:
    """Formats figures without protocol: name, name_untuned, name_real, ...; then counts."""
    measured = {n for n in values if any(n + end in values for end in _COLUMNS if end)}
    rows = [
        [name.replace("_", " "), *(_cell(values.get(name + end)) for end in _COLUMNS)]
        for name in values
        if name in measured
    ]
    used = {name + end for name in measured for end in _COLUMNS}
    counts = [[n.replace("_", " "), number(v)] for n, v in values.items() if n not in used]
    nodes = []
    if rows:
        head = ["figure", "before tuning", "tuned", "real through the tokenizer", "real"]
        nodes += [h("h3", "Before and after tuning"), table(head, rows)]
    if counts:
        nodes.append(fold("Counts", table(["", ""], counts)))
    return nodes


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _cell(value: float | None) -> str:
    return "–" if value is None else number(value)
