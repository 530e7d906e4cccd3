"""The flag --config of the programs that take one, and one sentence for what is wrong with it."""

import importlib.util
import inspect
import pathlib

from absl import app, flags
from ml_collections import ConfigDict, config_flags

from vpt_gen.errors import UserError


def define(about: str = "The experiment: a file of configs/.") -> flags.FlagHolder:
    """Defines --config, whose fields can be set as --config.name=value."""
    return config_flags.DEFINE_config_file("config", None, about, lock_config=True)


def parse(argv: list[str], required: bool = True) -> list[str]:
    """Parses as absl does; what is left of the arguments.

    Args:
      argv: the command line.
      required: whether there must be a --config.

    Raises:
      UserError: a config that is missing or has no such field, or an argument that is no flag.
    """
    given = [a.removeprefix("--config=") for a in argv if a.startswith("--config=")]
    fields = [a.removeprefix("--") for a in argv if a.startswith("--config.")]
    if fields and not any(a == "--config" or a.startswith("--config=") for a in argv):
        raise UserError(f"--{fields[0]} needs --config: name the file whose field it sets.")
    if given and not pathlib.Path(given[-1].split(":")[0]).is_file():
        raise UserError(f"Config file {given[-1]} does not exist; configs/ holds those there are.")
    try:
        rest = app.parse_flags_with_usage(argv)
        if required and flags.FLAGS["config"].value is None:
            raise UserError("No --config given; name a file of configs/, such as configs/demo.py.")
    except (AttributeError, KeyError) as error:
        names = ", ".join(field.split("=")[0] for field in fields)
        if not fields:
            reason = str(error).strip("'").splitlines()[0]
            raise UserError(f"The config file sets a field that is not there: {reason}") from error
        field = str(error).strip("\"'")
        raise UserError(
            f"Unknown config field {field!r} among {names}; the config file and "
            "vpt_gen/config/fields.py (config/nets.py for nets) show the fields there are."
        ) from error
    if len(rest) > 1:
        raise UserError(f"Unexpected argument {rest[1]!r}; fields are set as --config.name=value.")
    return rest


def load(path: str | pathlib.Path, argument: str = "") -> ConfigDict:
    """What --config=path:argument gives, and --config=path where there is no argument.

    Raises:
      UserError: no such file, or an argument that its `get_config` does not take.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"Config file {path} does not exist; configs/ holds those there are.")
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if argument and not inspect.signature(module.get_config).parameters:
        raise UserError(
            f"Config file {path} takes no argument, so --config={path}:{argument} fails."
        )
    return module.get_config(*([argument] if argument else []))


def files_of_runs(folder: pathlib.Path) -> list[pathlib.Path]:
    """The config files in a folder that describe one run; a study's describes many."""
    return sorted(p for p in folder.glob("*.py") if not p.stem.startswith("study_"))
