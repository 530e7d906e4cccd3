"""What runs trained, as one file that travels: `.safetensors`, with the runs' records in it.

The file never holds the frozen nets, only their digests. Arrays are called
`<number of the run>/<path>`. The metadata `vpt_gen` is JSON: {"version", "runs": [record]}, where
a record has the run's `config`, `facts`, `step`, `digest` of its arrays, and `nets`: the path,
digest and license of each frozen net.

Files come from strangers. Arrays are mapped by the safetensors library, which compares their sizes
with that of the file before any is read; only float32 is accepted, and everything is compared with
the record and its digest.
"""

import copy
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from vpt_gen.checkpoints.backbone import digest_of_params
from vpt_gen.checkpoints.store import fault_of_classes
from vpt_gen.machine import json_files
from vpt_gen.machine.files import json_text

SUFFIX = ".safetensors"
CURE = "get an intact copy, or export the run again"
_VERSION = 1
_KEY = "vpt_gen"
_KINDS: dict[str, json_files.Kind] = {
    "config": dict,
    "facts": dict,
    "facts.class_names": list,
    "step": int,
    "digest": str,
    "nets": dict,
}
# Fields that name folders of the author's machine.
_FOLDERS = (
    "data.path",
    "data.data_dir",
    "data.cache_dir",
    "evaluation.weights_dir",
    "evaluation.tokenizer",
)


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """What one run trained, and its record.

    Attributes:
      source: where it is stored, for messages.
      config: of the run, nested, as it was recorded.
      facts: of the run: `class_names`, digests of nets and data.
      step: number of updates of `params`.
      params: the trained parameters, nested dicts of numpy arrays.
      nets: the frozen nets, by their names in `config.backbone`: {"path", "digest", "license"}.
    """

    source: str
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    step: int
    params: Any
    nets: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)


def serialized(runs: Sequence[StoredRun]) -> bytes:
    """Returns the content of the file of some runs."""
    arrays: dict[str, np.ndarray] = {}
    records = []
    for number, run in enumerate(runs):
        flat = traverse_util.flatten_dict(run.params, sep="/")
        arrays |= {f"{number}/{name}": np.asarray(x, order="C") for name, x in flat.items()}
        record = {"config": _without_folders(run.config), "facts": run.facts, "step": run.step}
        records.append({**record, "digest": digest_of_params({}, run.params), "nets": run.nets})
    text = json_text({"version": _VERSION, "runs": records})
    return safetensors.numpy.save(arrays, {_KEY: text})


def _without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copies a config; of folders outside of its project only the last name is kept."""
    shared = copy.deepcopy(dict(config))
    names = [*_FOLDERS, *(f"backbone.{name}" for name in shared.get("backbone", {}))]
    for group, _, field in (name.partition(".") for name in names):
        if value := shared.get(group, {}).get(field):
            shared[group][field] = shareable(value)
    return shared


def shareable(path: str) -> str:
    """Returns a relative path unchanged, and of any other only its last name."""
    parts = pathlib.PurePath(path).parts
    outside = pathlib.PurePath(path).is_absolute() or ".." in parts or parts[:1] == ("~",)
    return parts[-1] if outside and parts else path


def read(path: pathlib.Path) -> list[StoredRun]:
    """Reads the runs of a file.

    Raises:
      DamagedFileError: a missing or damaged file, or one of another program or version.
    """
    if not path.is_file():
        raise json_files.DamagedFileError(path, "missing", "check the path")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            records = _records(path, file.metadata() or {})
            arrays = dict(_arrays(path, file))
    except safetensors.SafetensorError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror or error}") from error
    return [_run(path, record, arrays, number) for number, record in enumerate(records)]


def _records(path: pathlib.Path, metadata: Mapping[str, str]) -> list[dict[str, Any]]:
    if _KEY not in metadata:
        raise json_files.DamagedFileError(
            path, "it has no record of vpt_gen", "give a file that vpt_gen.export wrote"
        )
    about = json_files.parse(metadata[_KEY].encode(), path, CURE)
    if fault := json_files.fault_of(about, {"version": int, "runs": list}):
        raise _damaged(path, fault)
    if about["version"] != _VERSION:
        cure = "update this version (git pull), or get an older file"
        raise json_files.DamagedFileError(path, f"of format {about['version']}", cure)
    if not about["runs"]:
        raise _damaged(path, "without runs")
    for record in about["runs"]:
        fault = json_files.fault_of(record, _KINDS)
        if fault := fault or fault_of_classes(record["facts"]["class_names"]):
            raise _damaged(path, fault)
        for net in record["nets"].values():
            if fault := json_files.fault_of(net, {"path": str, "digest": str, "license": str}):
                raise _damaged(path, fault)
    return about["runs"]


def _arrays(path: pathlib.Path, file: Any) -> Iterator[tuple[str, np.ndarray]]:
    for name in file.keys():  # noqa: SIM118 - no dict
        kind = file.get_slice(name).get_dtype()
        if kind != "F32":
            raise _damaged(path, f"{name} is of the type {kind} instead of F32")
        yield name, file.get_tensor(name)


def _run(
    path: pathlib.Path, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], number: int
) -> StoredRun:
    start = f"{number}/"
    own = {name.removeprefix(start): x for name, x in arrays.items() if name.startswith(start)}
    groups = {"/".join(name.split("/")[:n]) for name in own for n in range(name.count("/") + 1)}
    if own.keys() & groups:  # Arrays called "a" and "a/b".
        raise _damaged(path, "an array has the name of a group")
    params = traverse_util.unflatten_dict(own, sep="/")
    if digest_of_params({}, params) != record["digest"]:
        raise _damaged(path, "it does not match its digest")
    for name, x in own.items():
        if not np.isfinite(x).all():
            raise _damaged(path, f"{name} is not finite")
    return StoredRun(
        str(path), record["config"], record["facts"], record["step"], params, record["nets"]
    )


def _damaged(path: pathlib.Path, fault: str) -> json_files.DamagedFileError:
    return json_files.DamagedFileError(path, fault, CURE)
