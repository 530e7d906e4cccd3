"""`python -m vpt_gen.data.check`: lists which data sets are ready, and how to get the others.

  ready         can be used
  downloadable  TFDS fetches it: add --prepare
  preparable    its files are there: add --prepare
  needs files   put the listed files at the listed paths
  blocked       cannot be prepared here, for the reason given

--prepare prepares all data sets that it can, one after another. It may be interrupted: fetched
files and finished data sets stay. Every task also accepts class folders instead of a prepared data
set: --config.data.path=folder.

Exit code: 0; 2 for wrong input, and with --prepare if something could not be prepared.
"""

from __future__ import annotations

import collections
import difflib
import os
import pathlib
import runpy

from absl import flags
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.config import flag
from vpt_gen.data import access
from vpt_gen.errors import UserError
from vpt_gen.machine import later
from vpt_gen.machine.progress import say

with later.imports(globals()):
    import tensorflow_datasets as tfds

    from vpt_gen.data.kinds import kind_of
    from vpt_gen.data.kinds.kind import Entry, Places

FLAGS = flags.FLAGS


def load_configs(folder: pathlib.Path) -> dict[str, ConfigDict]:
    """Loads every file in a folder of configs: name -> config."""
    paths = flag.files_of_runs(folder)
    if not paths:
        raise UserError(f"{folder} holds no configs; give their folder with --configs.")
    return {path.stem: runpy.run_path(str(path))["get_config"]() for path in paths}


def list_entries(configs: dict[str, ConfigDict], places: Places) -> list[Entry]:
    """Lists the data sets that configs (by name) use, each once."""
    entries: dict[str, Entry] = {}
    for config_name, config in configs.items():
        entry = kind_of(config.data).entry(config.data, places)
        entries.setdefault(entry.name, entry).configs.append(config_name)
    return list(entries.values())


def table(entries: list[Entry]) -> str:
    """Formats the list."""
    width = max(len(entry.name) for entry in entries)
    lines = [f"{'data set':{width}}  {'state':12}  disk needed  configs"]
    for entry in sorted(entries, key=lambda entry: entry.name):
        status = entry.status
        disk = f"{status.gigabytes:.1f} GB" if status.gigabytes else "-"
        configs = ", ".join(entry.configs)
        lines.append(f"{entry.name:{width}}  {status.state:12}  {disk:>11}  {configs}")
        lines += [f"{'':{width}}    {sentence}" for sentence in status.advice]
    return "\n".join(lines)


def summary(entries: list[Entry]) -> str:
    """Returns how many data sets are in which state, and the disk that --prepare needs."""
    count = collections.Counter(entry.status.state for entry in entries)
    states = ", ".join(f"{count[state]} {state}" for state in access.STATES if count[state])
    preparable = [entry.status for entry in entries if entry.status.can_be_prepared]
    disk = sum(status.gigabytes for status in preparable)
    return f"{states}." + f" --prepare needs {disk:.1f} GB of disk." * bool(preparable)


def prepare(entries: list[Entry]) -> list[str]:
    """Prepares what it can; prints failures and returns their names."""
    failed = []
    for number, entry in enumerate(entries, 1):
        say(f"[{number}/{len(entries)}] preparing {entry.name}")
        options = tfds.download.DownloadConfig(
            manual_dir=str(entry.manual_dir), try_download_gcs=False
        )
        try:
            entry.builder.download_and_prepare(download_config=options)
        except Exception as error:  # TFDS and its downloads raise many kinds of errors.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            say(f"{entry.name} could not be prepared: {lines[0]}")
            failed.append(entry.name)
    return failed


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("configs", "configs", "Folder of configs.")
    flags.DEFINE_list("only", [], "Configs to check, by name; by default all.")
    flags.DEFINE_string("data_dir", "", "Folder of TFDS's data; by default TFDS's own.")
    flags.DEFINE_string("manual_dir", "", "Folder of files that TFDS cannot fetch.")
    flags.DEFINE_bool("prepare", False, "Fetch and prepare all data sets that can be.")


def main():
    """Runs the program; its flags are parsed."""
    # TensorFlow's messages would hide the table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    configs = load_configs(pathlib.Path(FLAGS.configs))
    unknown = sorted(set(FLAGS.only) - set(configs))
    if unknown:
        near = difflib.get_close_matches(unknown[0], configs, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(configs)}."
        raise UserError(f"No config {unknown[0]!r} in {FLAGS.configs}; {hint}")
    chosen = {name: configs[name] for name in FLAGS.only or configs}
    places = Places(FLAGS.data_dir, FLAGS.manual_dir)
    entries = list_entries(chosen, places)
    say(f"{table(entries)}\n\n{summary(entries)}")
    preparable = [entry for entry in entries if entry.status.can_be_prepared]
    if not FLAGS.prepare or not preparable:
        return
    failed = prepare(preparable)
    entries = list_entries(chosen, places)
    say(f"{table(entries)}\n\n{summary(entries)}")
    if failed:
        raise UserError(f"Not prepared: {', '.join(failed)}; see the reasons above.")


if __name__ == "__main__":
    cli.run(main, define_flags)
