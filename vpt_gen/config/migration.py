"""Translates the config that a run recorded to today's fields: to resume, open or repeat the run.

A field that is newer than the run gets its default if the default means what runs did before;
otherwise `BEFORE` gives the value. Whoever adds, removes, renames or redefines a field of
config/fields.py, of a net or of a method adds a line to a table here if one is needed.
"""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.config.fields import FAMILIES, TASKS, default_config, defaults_like
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.machine import json_files

# New field -> its value for older runs, from their fields; only if that is not the default.
BEFORE: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "data.holdout_seed": lambda fields: fields["seed"],
}
# Old name of a field, or of a group of fields -> the new one.
RENAMED: dict[str, str] = {"average_decay": "ema"}
# Removed field or group of fields -> the values that mean what runs do today; a run with another
# value needs the version that made it. None if any value means that.
REMOVED: dict[str, tuple[Any, ...] | None] = {}
# Field -> pairs of an old and a new value with the same meaning.
REWRITTEN: dict[str, tuple[tuple[Any, Any], ...]] = {
    "data.data_dir": ((None, ""),),
    "best_metric": (("memorisation_rate", "memorization_rate"),),
    "prompt.design": (("factorised", "factorized"),),
}
# Field -> a value that means something else in runs that have another field, that field, and what
# the value meant before.
REUSED: dict[str, tuple[Any, str, Any]] = {
    "best_metric": ("intra_lpips", "evaluation.also", "intra_class_lpips"),
}


def migrate(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a recorded config, nested as `config.json` has it, to all fields of today.

    Raises:
      UserError: a field or task that neither today's configs nor the tables know, a value of
        another type than the field's, or a removed field with a value that means something else
        than what runs do today.
    """
    fields = {}
    recorded = flatten(recorded)
    for name, value in recorded.items():
        if not _dropped(name, value):
            name = _renamed(name)
            fields[name] = _rewritten(name, value, recorded)
    known = _defaults(fields)
    for name in fields.keys() - known.keys():
        raise _newer(f"the field config.{name}")
    for name, value in fields.items():
        if not json_files.is_kind(value, type(known[name])):
            raise _damaged(name, value)
    missing = known.keys() - fields.keys()
    earlier = {name: BEFORE[name](fields) for name in missing & BEFORE.keys()}
    return _nested({**known, **fields, **earlier})


def with_new_values(
    group: Mapping[str, Any], recorded: Mapping[str, Any], name: str = ""
) -> dict[str, Any]:
    """Translates the values of a part of a recorded config, nested.

    Args:
      group: the part.
      recorded: all fields, flat, of a config of the same age.
      name: of the part; '' for the whole.
    """
    new = {}
    for key, value in group.items():
        field = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            new[key] = with_new_values(value, recorded, field)
        else:
            new[key] = _rewritten(field, value, recorded)
    return new


def as_config(migrated: Mapping[str, Any]) -> ConfigDict:
    """Converts the result of `migrate` to a config, with tuples as sequences."""
    config = defaults_like(migrated)
    with config.unlocked():
        config.update(migrated)
    return config


def with_defaults(recorded: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Copies a nested record and adds the defaults of missing fields."""
    filled = copy.deepcopy({**defaults, **recorded})
    for name, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(filled[name], Mapping):
            filled[name] = with_defaults(filled[name], default)
    return json.loads(json.dumps(filled))


def _defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns today's fields for a run's task and family, flat."""
    # Runs older than the field `family` had a transformer of masked tokens.
    task, family, net = (
        fields.get(name, default)
        for name, default in (("task", None), ("family", "nar"), ("model.net", ""))
    )
    for name, value in (("task", task), ("family", family), ("model.net", net)):
        if not isinstance(value, str):
            raise _damaged(name, value)
    for name, value, known in (("task", task, TASKS), ("family", family, FAMILIES)):
        if value not in known:
            raise _newer(f"config.{name} {value!r}")
    return flatten(default_config(task, family, net).to_dict())


def _dropped(name: str, value: Any) -> bool:
    """Whether a field was removed and its value means what runs do today."""
    group = _entry(name, REMOVED)
    if group is None:
        return False
    same = REMOVED[group]
    if same is not None and value not in same:
        raise UserError(
            f"The run set config.{name} to {value!r}, which this version can no longer do; use the "
            "version of vpt_gen that made the run (git checkout)."
        )
    return True


def _rewritten(name: str, value: Any, recorded: Mapping[str, Any]) -> Any:
    if name in REUSED:
        old, since, new = REUSED[name]
        if value == old and since not in recorded:
            return new
    return dict(REWRITTEN.get(name, ())).get(_hashable(value), value)


def _renamed(name: str) -> str:
    old = _entry(name, RENAMED)
    return name if old is None else RENAMED[old] + name.removeprefix(old)


def _entry(name: str, table: Mapping[str, Any]) -> str | None:
    """Returns the entry of a table for a field or for a group that contains it."""
    return next((old for old in table if f"{name}.".startswith(f"{old}.")), None)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """{"data.holdout": 0.1} -> {"data": {"holdout": 0.1}}."""
    config: dict[str, Any] = {}
    for name, value in fields.items():
        *groups, last = name.split(".")
        group = config
        for part in groups:
            group = group.setdefault(part, {})
        group[last] = value
    return config


def _damaged(name: str, value: Any) -> UserError:
    return UserError(
        f"The run records config.{name} as {value!r}, which is not of the field's type: its "
        "config.json is damaged; restore it."
    )


def _newer(what: str) -> UserError:
    return UserError(
        f"The run records {what}, which this version of vpt_gen does not know: a newer version "
        "made the run; update this one (git pull)."
    )
