"""Configs that older versions recorded, as today's: for resuming runs and for opening them alike.

A new field needs an entry only if its default is not what was done before it was there. A field
that goes, or gets another name, needs one in `GONE`, so that runs that recorded it still open.
"""

import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.config.fields import default_config
from vpt_gen.errors import UserError

# Field that is gone -> its successor, or "" if nothing takes its place; dotted names.
GONE: dict[str, str] = {}
# Field -> what runs did that were recorded before it was there; dotted names.
BEFORE: dict[str, Any] = {}


def as_of_today(recorded: Mapping[str, Any], where: str) -> ConfigDict:
    """The config that a run recorded, with all of today's fields and no others.

    Args:
      recorded: `config` of the run's record.
      where: the run's working directory, for messages.

    Raises:
      UserError: a field that neither today's config nor the table knows.
    """
    config = default_config(recorded["task"], recorded.get("family", "nar"))
    old, known = _flat(recorded), _flat(config)
    with config.unlocked():
        for name, value in BEFORE.items():
            if name not in old and name in known:
                _set(config, name, value)
        for name, value in old.items():
            name = GONE.get(name, name)
            if name and name not in known:
                raise UserError(
                    f"{where} records config.{name}, which this version does not know: the run "
                    "was made by a newer version of vpt_gen; update to it."
                )
            if name:
                _set(config, name, value)
    return config


def record_of_today(recorded: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`as_of_today`, as JSON reads it back."""
    return json.loads(json.dumps(as_of_today(recorded, where).to_dict()))


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names of all fields -> their values."""
    found = {}
    for name, value in fields.items():
        if isinstance(value, Mapping | ConfigDict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _set(config: ConfigDict, name: str, value: Any) -> None:
    """Sets a field, in the type that it has: JSON knows no tuples."""
    *groups, last = name.split(".")
    for group in groups:
        config = config[group]
    config[last] = tuple(value) if isinstance(value, list) else value
