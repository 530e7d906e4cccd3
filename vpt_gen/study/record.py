"""The record of a study in its folder: a study may grow, but not change."""

import json
import pathlib
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.checkpoints.store import differences
from vpt_gen.config.migration import migrate, with_defaults, with_new_values
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.machine import json_files
from vpt_gen.machine.files import write_json
from vpt_gen.study.cells import KINDS
from vpt_gen.study.config import dataset, default_study, variant
from vpt_gen.study.runs import Runs

RECORD = "study.json"
# Axes: common entries must be equal. Everything else must be equal as a whole.
_GROWS = ("variants", "datasets", "configs")
_MAY_CHANGE = ("title", "shots", "seeds")


def claim_folder(study: ConfigDict, runs: Runs, folder: pathlib.Path) -> None:
    """Records the study, or checks that the folder belongs to it; the caller holds its lock.

    Variants, data sets, shots and seeds may be added in the same folder; existing ones must not
    change.

    Raises:
      UserError: the folder belongs to another study, or a variant was changed; or it has cells, but
        no readable record of whose they are.
    """
    record = json.loads(json.dumps(study.to_dict()))
    record["configs"] = {
        f"{variant} on {dataset}": json.loads(json.dumps(runs.base(variant, dataset).to_dict()))
        for variant in study.variants
        for dataset in study.datasets
    }
    path = folder / RECORD
    old = _read(path) if _is_used(folder) else record
    if changed := list(_changes(old, record)):
        raise UserError(
            f"{folder} belongs to another study ({'; '.join(changed[:3])}); choose another "
            "--workdir, or use its config."
        )
    grown = {name: {**old[name], **record[name]} for name in _GROWS}
    write_json(path, {**record, **grown})


def _read(path: pathlib.Path) -> dict[str, Any]:
    """Reads the record in today's fields."""
    if not path.is_file():
        raise UserError(
            f"{path.parent} holds a study, but its {path.name} is missing: restore it, or choose "
            "another --workdir."
        )
    cure = "restore it, or choose another --workdir"
    old = json_files.read_object(path, cure, dict.fromkeys(_GROWS, dict))
    try:
        return _in_todays_fields(old)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fault = f"it describes no study: {type(error).__name__}: {error}"
        raise json_files.DamagedFileError(path, fault, cure) from error


def _is_used(folder: pathlib.Path) -> bool:
    """Whether a folder holds cells of a study, or its record."""
    return any((folder / name).exists() for name in (RECORD, *KINDS))


def _in_todays_fields(old: dict[str, Any]) -> dict[str, Any]:
    """Adds newer fields to a record, perhaps of an older version."""
    new = with_defaults(old, default_study().to_dict())
    variants, datasets = new["variants"], new["datasets"]
    fields = flatten(next(iter(old["configs"].values()), {}))
    for name, of in variants.items():
        variants[name] = with_defaults(of, variant(of["method"]).to_dict())
        variants[name]["set"] = with_new_values(variants[name]["set"], fields)
    for name, of in datasets.items():
        datasets[name] = with_defaults(of, dataset(of["config"]).to_dict())
    return {**new, "configs": {name: migrate(config) for name, config in old["configs"].items()}}


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    changes = []
    for name in sorted(set(old) | set(new)):
        if name in _MAY_CHANGE:
            continue
        a, b = old.get(name), new.get(name)
        if name in _GROWS and a and b:
            common = a.keys() & b.keys()
            a, b = ({key: part[key] for key in common} for part in (a, b))
        changes += differences(a, b, name)
    return changes
