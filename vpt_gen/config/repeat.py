"""The command that reproduces a run: the closest file of configs/, and the fields that differ."""

import contextlib
import importlib.util
import inspect
import json
import pathlib
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import vpt_gen
from vpt_gen.config import flag
from vpt_gen.errors import UserError
from vpt_gen.machine import later

with later.imports(globals()):
    from vpt_gen.config.fields import METHODS

_CONFIGS = pathlib.Path(vpt_gen.__file__).parents[1] / "configs"


def training_command(config: Mapping[str, Any], workdir: str) -> str:
    """Returns a shell command that starts a run with exactly this config, from the project's root.

    Args:
      config: of a run, nested, as its `config.json` has it.
      workdir: of the new run.

    Returns:
      The shortest command; '' if no file of configs/ has the same fields.
    """
    fields = flatten(config)
    changes = [
        (name, {key: value for key, value in fields.items() if value != known[key]})
        for name, known in _known(config)
        if known.keys() == fields.keys()
    ]
    if not changes:
        return ""
    name, changed = min(changes, key=lambda candidate: (len(candidate[1]), candidate[0]))
    settings = {"config": f"configs/{name}"}
    settings |= {f"config.{key}": argument(value) for key, value in changed.items()}
    settings["workdir"] = workdir
    given = " ".join(f"--{flag}={shlex.quote(value)}" for flag, value in settings.items())
    return f"python -m vpt_gen.main {given}"


def _known(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields names of config files, with a run's family and method, and their fields."""
    for path in flag.files_of_runs(_CONFIGS):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None  # Both exist for a file *.py.
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield path.name, flatten(module.get_config().to_dict())
        parameters = set(inspect.signature(module.get_config).parameters)
        for wanted in _variants(config, parameters) if config.get("task") in METHODS else ():
            with contextlib.suppress(UserError):  # The file takes no published backbone.
                yield f"{path.name}:{wanted}", flatten(module.get_config(wanted).to_dict())


def _variants(config: Mapping[str, Any], parameters: set[str]) -> set[str]:
    """Returns a config file's arguments for a run's method, with its family or its backbone."""
    method = [config["task"]] if config["task"] != "prompts" else []
    if "variant" not in parameters:
        return {*method} if "method" in parameters else set()
    family = [config["family"]] if config.get("family", "nar") != "nar" else []
    backbone = [name] if (name := config["backbone"].get("name")) else []
    return {",".join(words) for words in ([*family, *method], [*backbone, *method]) if words}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"data": {"holdout": 0.1}} -> {"data.holdout": 0.1}, values as JSON reads them back."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.loads(json.dumps(value))
    return flat


def argument(value: Any) -> str:
    """Formats a value as `ml_collections` reads it from a command line."""
    return repr(tuple(value)) if isinstance(value, list) else str(value)
