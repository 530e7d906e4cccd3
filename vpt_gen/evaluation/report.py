"""Figures as JSON (`metrics.json`) and as a printed table."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from vpt_gen.data import duplicates
from vpt_gen.data.names import first_few, name_key
from vpt_gen.evaluation.features import MAX_KEPT
from vpt_gen.evaluation.figures import Found
from vpt_gen.evaluation.image_sets import ImageSet, counted
from vpt_gen.evaluation.metrics import FIGURES
from vpt_gen.evaluation.protocol import environment
from vpt_gen.evaluation.yardstick import Yardstick
from vpt_gen.machine import json_files
from vpt_gen.machine.manifest import Manifest

METRICS = "metrics.json"
# Name of a figure in older records -> today's.
_RENAMED = {"memorisation_rate": "memorization_rate"}
# The same, in records that lack the new name: the old one means another figure since.
_REUSED = {"intra_lpips": "intra_class_lpips"}
# Next to the names of figures with a warning.
MARK = "*"
_WARNING = "Copies of images trained on, with which this compares, would get the best value."
_DIRECTIONS = {
    "lower": "lower",
    "higher": "higher",
    "neither": "like real",
    "not below real": "not below real",
}


def protocol(yardstick: Yardstick, generated: ImageSet, command: str) -> dict[str, Any]:
    """Returns the part of the protocol that all figures share, for JSON.

    Args:
      yardstick: real images and a feature space.
      generated: the measured images.
      command: that reproduces it.
    """
    space, reference = yardstick.extractor.space, yardstick.reference
    shared: dict[str, Any] = {"generated": generated.record, "reference": reference.record}
    if yardstick.train:
        shared["train"] = yardstick.train.record
    if yardstick.judge:
        shared["judge"] = yardstick.judge.record
    if generated.source and reference.source:
        copies = duplicates.number_in(generated.source, reference.source)
        shared["generated"] = {**generated.record, "copies_of_reference": copies}
    shared["duplicates"] = _duplicates(reference, yardstick.train)
    shared["classes_without_images"] = absent_classes(generated, reference)
    shared["features"] = {
        "space": space.name,
        "digest": space.digest,
        "resize": space.resize,
        "max_rows": MAX_KEPT,
        "batch_size": yardstick.extractor.batch_size,
    }
    return shared | environment() | {"command": command}


def _duplicates(reference: ImageSet, train: ImageSet | None) -> dict[str, int] | None:
    """Counts the exact duplicates of real images; None if they are not known."""
    if reference.source is None or (train and train.source is None):
        return None
    if train and train.source:
        found = duplicates.count(train.source, reference.source)
    else:
        found = duplicates.count(reference.source, None)
    return dataclasses.asdict(found) if found else None


def absent_classes(generated: ImageSet, reference: ImageSet) -> dict[str, list[str]]:
    """Returns the classes that have no image in one of two sets; nothing if they share no class."""
    sets = {"generated": generated, "reference": reference}
    known = {part: list(map(name_key, of.class_names)) for part, of in sets.items()}
    named = dict.fromkeys([*known["reference"], *known["generated"]])
    if len(named) == sum(map(len, known.values())):
        return {}
    present = {
        part: {known[part][label] for label in np.unique(of.labels)} for part, of in sets.items()
    }
    absent = {part: [n for n in named if n not in has] for part, has in present.items()}
    return {part: names for part, names in absent.items() if names}


def remarks(record: Mapping[str, Any]) -> list[str]:
    """Returns what one must know to read the figures of a record, in sentences."""
    shared, said = record.get("protocol", {}), []
    reference = shared.get("reference", {})
    if trained_on := reference.get("trained_on"):
        which, cure = "The reference was", "train with config.data.holdout above 0"
        if trained_on < reference["count"]:
            verb = "was" if trained_on == 1 else "were"
            which = f"{trained_on:,} of the {reference['images']} {verb}"
            cure = "remove the duplicates and train again"
        said.append(
            f"{MARK} {which} trained on, so copies would get the best values. To measure with "
            f"other images, {cure}, or give another --reference."
        )
    if copies := shared.get("generated", {}).get("copies_of_reference"):
        said.append(f"Exact copies of images compared with: {counted(copies, 'generated images')}.")
    for part, names in shared.get("classes_without_images", {}).items():
        said.append(f"No {part} image is of these classes: {first_few(names)}.")
    if found := shared.get("duplicates"):
        found = duplicates.Duplicates(**{**found, "held_out_in_training": 0})
        said.append(duplicates.sentence(found, "the real images"))
    memorization = record.get("figures", {}).get("memorization_rate", {}).get("protocol", {})
    if copies := memorization.get("held_out_copies_left_out"):
        said.append(
            "The memorization rate's threshold leaves out exact copies of training images: "
            f"{counted(copies, 'held-out images')}."
        )
    return [sentence for sentence in said if sentence]


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
            if FIGURES[name].copied and shared["reference"].get("trained_on"):
                figures[name]["warning"] = _WARNING
    left_out = {name: found.left_out[name] for name in FIGURES if name in found.left_out}
    return {"figures": figures, "left_out": left_out, "protocol": dict(shared)}


def open_manifest(
    folder: epath.Path | pathlib.Path, pictures: Sequence[str], flag: str = "--output"
) -> Manifest:
    """Returns what writes `metrics.json` and the pictures next to it; see `Manifest`."""

    def files_before(note: Mapping[str, Any]) -> Sequence[str]:
        return pictures if note["figures"] is not None else ()

    return Manifest(epath.Path(folder) / METRICS, pictures, files_before, flag=flag, named=True)


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
    try:
        remarks(record)
        if "reference" in parts["protocol"]:
            summary(record)
    except (AttributeError, LookupError, TypeError, ValueError):
        return "its protocol lacks a part, or has one of another type"
    return ""


def with_new_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """Renames the figures of a record of `make_record`, perhaps of an older version, to today's."""
    parts = {part: record[part] for part in ("figures", "left_out") if part in record}
    reused = {old: new for old, new in _REUSED.items() if not any(new in p for p in parts.values())}
    names = _RENAMED | reused
    renamed = {
        part: {names.get(name, name): value for name, value in named.items()}
        for part, named in parts.items()
    }
    return {**record, **renamed}


def table(record: Mapping[str, Any]) -> str:
    """Formats the figures of a record, one per line, next to the values of real images."""
    figures = record["figures"]
    columns = {"untuned": "untuned", "value": "generated", "std": "± std", "floor": "real"}
    columns = {k: v for k, v in columns.items() if k == "value" or _has(figures, k)}
    lines = [
        "",
        summary(record),
        f"{'':24}" + "".join(f"{title:>11}" for title in columns.values()) + "   better",
    ]
    for name, figure in figures.items():
        numbers = "".join(f"{_number(figure.get(part)):>11}" for part in columns)
        title = label(name) + f" {MARK}" * ("warning" in figure)
        lines.append(f"{title:24}{numbers}   {_DIRECTIONS[figure['better']]}")
    reasons: dict[str, list[str]] = {}
    for name, reason in record["left_out"].items():
        reasons.setdefault(reason, []).append(label(name))
    missing = [f"No {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    for notes in (missing, remarks(record)):
        lines += ["", *notes] if notes else []
    return "\n".join(lines)


def summary(record: Mapping[str, Any]) -> str:
    """Returns a line that says what was compared with what."""
    shared = record["protocol"]
    generated, reference = shared["generated"], shared["reference"]
    classes = {"even": ", classes evenly", "reference": ", classes as in the reference"}
    drawn = classes.get(generated.get("class_counts"), "")
    train = f", trained on {shared['train']['count']:,}" if "train" in shared else ""
    # Older records do not say which images the reference is.
    real = reference.get("images", counted(reference["count"], "real images"))
    the = "the " * (reference.get("trained_on") == reference["count"])
    made = counted(generated["count"], "generated images")
    space = shared["features"]["space"]
    return f"{made}{drawn}{train}; compared with {the}{real}; {space} features"


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
