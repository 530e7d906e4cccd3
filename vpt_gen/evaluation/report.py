"""Figures as JSON (`metrics.json`) and as a printed table."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from vpt_gen.evaluation.features import MAX_KEPT
from vpt_gen.evaluation.figures import Found
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.metrics import FIGURES
from vpt_gen.evaluation.protocol import environment
from vpt_gen.evaluation.yardstick import Yardstick
from vpt_gen.machine import json_files
from vpt_gen.machine.manifest import Manifest

METRICS = "metrics.json"
# Name of a figure in older records -> today's.
_RENAMED = {"memorisation_rate": "memorization_rate"}
_DIRECTIONS = {"lower": "lower", "higher": "higher", "neither": "like real"}


def protocol(yardstick: Yardstick, generated: ImageSet, command: str) -> dict[str, Any]:
    """Returns the part of the protocol that all figures share, for JSON.

    Args:
      yardstick: real images and a feature space.
      generated: the measured images.
      command: that reproduces it.
    """
    space = yardstick.extractor.space
    shared = {"generated": generated.record, "reference": yardstick.reference.record}
    if yardstick.train:
        shared["train"] = yardstick.train.record
    if yardstick.judge:
        shared["judge"] = yardstick.judge.record
    shared["features"] = {
        "space": space.name,
        "digest": space.digest,
        "resize": space.resize,
        "max_rows": MAX_KEPT,
        "batch_size": yardstick.extractor.batch_size,
    }
    return shared | environment() | {"command": command}


def make_record(found: Found, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Makes the content of `metrics.json`.

    Args:
      found: the measured figures.
      shared: see `protocol`. Each figure gets all of it, so that it can be copied alone.
    """
    figures = {}
    for name in FIGURES:
        if value := found.values.get(name):
            figures[name] = {
                "value": value.value,
                "std": value.std,
                "floor": value.floor,
                "better": FIGURES[name].better,
                "meaning": FIGURES[name].meaning,
                "protocol": {**shared, **value.details},
            }
    left_out = {name: found.left_out[name] for name in FIGURES if name in found.left_out}
    return {"figures": figures, "left_out": left_out, "protocol": dict(shared)}


def open_manifest(
    folder: epath.Path | pathlib.Path, pictures: Sequence[str], flag: str = "--output"
) -> Manifest:
    """Returns what writes `metrics.json` and the pictures next to it; see `Manifest`."""

    def files_before(note: Mapping[str, Any]) -> Sequence[str]:
        return pictures if note["figures"] is not None else ()

    return Manifest(epath.Path(folder) / METRICS, pictures, files_before, flag=flag)


def fault_of(record: Mapping[str, Any]) -> str:
    """Returns what keeps an object from being a record of `make_record`, or part of one; or ''."""
    parts = {name: record.get(name, {}) for name in ("figures", "left_out", "protocol")}
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            return f"{name} is not an object"
    for name, figure in parts["figures"].items():
        if not isinstance(figure, Mapping) or not isinstance(figure.get("protocol", {}), Mapping):
            return f"the figure {name} is not an object with a protocol"
        for part in ("value", "std", "floor"):
            if not json_files.is_kind(figure.get(part), (float, type(None))):
                return f"the {part} of {name} is not a number"
    return ""


def with_new_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """Renames the figures of a record of `make_record`, perhaps of an older version, to today's."""
    renamed = {
        part: {_RENAMED.get(name, name): value for name, value in record[part].items()}
        for part in ("figures", "left_out")
        if part in record
    }
    return {**record, **renamed}


def table(record: Mapping[str, Any]) -> str:
    """Formats the figures of a record, one per line, next to the values of real images."""
    figures = record["figures"]
    columns = {"untuned": "untuned", "value": "generated", "std": "± std", "floor": "real"}
    columns = {k: v for k, v in columns.items() if k == "value" or _has(figures, k)}
    lines = [
        "",
        *_heading(record["protocol"]),
        f"{'':24}" + "".join(f"{title:>11}" for title in columns.values()) + "   better",
    ]
    for name, figure in figures.items():
        numbers = "".join(f"{_number(figure.get(part)):>11}" for part in columns)
        lines.append(f"{label(name):24}{numbers}   {_DIRECTIONS[figure['better']]}")
    reasons: dict[str, list[str]] = {}
    for name, reason in record["left_out"].items():
        reasons.setdefault(reason, []).append(label(name))
    lines += ["", *(f"No {', '.join(names)}: {reason}" for reason, names in reasons.items())]
    return "\n".join(lines if reasons else lines[:-1])


def _heading(shared: Mapping[str, Any]) -> list[str]:
    """Returns a line that says what was compared."""
    generated, reference = shared["generated"], shared["reference"]
    classes = {"even": ", classes evenly", "reference": ", classes as in the reference"}
    drawn = classes.get(generated.get("class_counts"), "")
    train = f", trained on {shared['train']['count']:,}" if "train" in shared else ""
    made, real = generated["count"], reference["count"]
    return [
        f"{made:,} generated image{'s' * (made != 1)}{drawn}{train}; compared with "
        f"{real:,} real one{'s' * (real != 1)}; {shared['features']['space']} features"
    ]


def _has(figures: Mapping[str, Any], part: str) -> bool:
    return any(figure.get(part) is not None for figure in figures.values())


def label(name: str) -> str:
    """Returns a figure's name for tables."""
    return str(FIGURES.get(name, name.replace("_", " ")))


def direction(name: str) -> str:
    """Returns which values of a figure are better: lower, higher, or like those of real images."""
    return _DIRECTIONS[FIGURES[name].better]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
