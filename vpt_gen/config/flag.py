"""The flag --config of programs, and one-sentence errors for wrong values."""

import importlib.util
import inspect
import os
import pathlib
import re

from absl import flags
from ml_collections import ConfigDict, config_flags

from vpt_gen.errors import UserError


def define(about: str = "The experiment: a file of configs/.") -> flags.FlagHolder:
    """Defines --config, whose fields can be set as --config.name=value."""
    return config_flags.DEFINE_config_file("config", None, about, lock_config=True)


def parse(argv: list[str], required: bool = True) -> list[str]:
    """Parses flags as absl does; returns the remaining arguments.

    Args:
      argv: the command line; a ~ that begins a value means the user's folder there, too.
      required: whether a program with --config needs a value for it.

    Raises:
      UserError: a missing config or field, a value that a flag does not take, or an argument that
        is not a flag.
    """
    argv = [_with_home(word) for word in argv]
    files, fields = _given_files(argv), [a[2:] for a in argv if a.startswith("--config.")]
    if fields and not files:
        raise UserError(f"--{fields[0]} needs --config: give the file whose field it sets.")
    if files:
        _check_file(files[-1].split(":")[0])
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{reason}; see --help.") from error
    except (AttributeError, KeyError) as error:
        raise UserError(_wrong_field(error, fields)) from error
    has_config = "config" in flags.FLAGS
    if len(rest) > 1:
        fix = "fields are set as --config.name=value" if has_config else "see --help"
        raise UserError(f"Unexpected argument {rest[1]!r}; {fix}.")
    if required and has_config and flags.FLAGS["config"].value is None:
        raise UserError("No --config given; give a file of configs/, such as configs/demo.py.")
    return rest


def _with_home(word: str) -> str:
    """Expands --output=~/x, of which most shells leave the ~; for all flags of all programs."""
    return re.sub(r"(?:^|(?<==))~[^/]*", lambda found: os.path.expanduser(found[0]), word)


def _given_files(argv: list[str]) -> list[str]:
    """Returns the values of --config, after an equals sign or as the next word; '' if missing."""
    files = [a.partition("=")[2] for a in argv if re.match("--?config=", a)]
    alone = [i for i, a in enumerate(argv) if a in ("--config", "-config")]
    return files + [argv[i + 1] if i + 1 < len(argv) else "" for i in alone]


def _wrong_field(error: Exception, fields: list[str]) -> str:
    if not fields:
        reason = str(error).strip("'").splitlines()[0]
        return f"The config file sets a field that does not exist: {reason}"
    field, names = str(error).strip("\"'"), ", ".join(field.split("=")[0] for field in fields)
    return (
        f"Unknown config field {field!r} among {names}; the config file and "
        "vpt_gen/config/fields.py list all fields."
    )


def load(path: str | pathlib.Path, argument: str = "") -> ConfigDict:
    """Loads the config of --config=path:argument, or of --config=path without an argument.

    Raises:
      UserError: a missing file, or an argument that its `get_config` does not take.
    """
    _check_file(path)
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    assert spec and spec.loader, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if argument and not inspect.signature(module.get_config).parameters:
        raise UserError(
            f"Config file {path} takes no argument, so --config={path}:{argument} fails."
        )
    return module.get_config(*([argument] if argument else []))


def _check_file(path: str | pathlib.Path) -> None:
    if not pathlib.Path(path).is_file():
        raise UserError(f"Config file {path} does not exist; configs/ holds those there are.")
    if pathlib.Path(path).suffix != ".py":
        raise UserError(f"Config file {path} is not a Python file; give one that ends with .py.")


def files_of_runs(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the config files of runs in a folder, without those of studies."""
    return sorted(p for p in folder.glob("*.py") if not p.stem.startswith("study_"))
