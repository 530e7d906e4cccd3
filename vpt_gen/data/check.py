"""`python -m vpt_gen.data.check`: which data sets are ready, and how the others are had.

  ready         can be used
  downloadable  TFDS fetches it: add --prepare
  preparable    its files are here: add --prepare
  needs files   put the named files at the named places
  blocked       cannot be prepared here, for the reason given

--prepare makes ready what can be made ready, one data set after another. It may be interrupted:
files that were fetched and data sets that were finished stay. Instead of a prepared set, every
task takes class folders: --config.data.path=folder.

Exit code: 0; with --prepare 2 where something could not be prepared; 2 for wrong input.
"""

import collections
import difflib
import os
import pathlib
import runpy

import tensorflow_datasets as tfds
from absl import flags
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.config import flag
from vpt_gen.data import access
from vpt_gen.data.kinds import kind_of
from vpt_gen.data.kinds.kind import Entry, Places
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import say

FLAGS = flags.FLAGS


def load_configs(folder: pathlib.Path) -> dict[str, ConfigDict]:
    """Name -> config, of every file in a folder of configs."""
    paths = flag.files_of_runs(folder)
    if not paths:
        raise UserError(f"{folder} holds no configs; name their folder with --configs.")
    return {path.stem: runpy.run_path(str(path))["get_config"]() for path in paths}


def list_entries(configs: dict[str, ConfigDict], places: Places) -> list[Entry]:
    """The data sets that configs (by name) use, each once."""
    entries: dict[str, Entry] = {}
    for config_name, config in configs.items():
        entry = kind_of(config.data).entry(config.data, places)
        entries.setdefault(entry.name, entry).configs.append(config_name)
    return list(entries.values())


def table(entries: list[Entry]) -> str:
    """The list that people read."""
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
    """How many data sets are in which state, and the disk that --prepare takes."""
    count = collections.Counter(entry.status.state for entry in entries)
    states = ", ".join(f"{count[state]} {state}" for state in access.STATES if count[state])
    preparable = [entry.status for entry in entries if entry.status.can_be_prepared]
    disk = sum(status.gigabytes for status in preparable)
    return f"{states}." + f" --prepare takes {disk:.1f} GB of disk." * bool(preparable)


def prepare(entries: list[Entry]) -> list[str]:
    """Prepares what can be; the names of those where it failed, after a sentence for each."""
    failed = []
    for number, entry in enumerate(entries, 1):
        say(f"[{number}/{len(entries)}] preparing {entry.name}")
        options = tfds.download.DownloadConfig(
            manual_dir=str(entry.manual_dir), try_download_gcs=False
        )
        try:
            entry.builder.download_and_prepare(download_config=options)
        except Exception as error:  # TFDS and its downloads raise many kinds.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            say(f"{entry.name} could not be prepared: {lines[0]}")
            failed.append(entry.name)
    return failed


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_string("configs", "configs", "Folder of configs.")
    flags.DEFINE_list("only", [], "Configs to look at, by name; by default all.")
    flags.DEFINE_string("data_dir", "", "Where TFDS keeps its data; by default as it does.")
    flags.DEFINE_string("manual_dir", "", "Where TFDS looks for files that you put there.")
    flags.DEFINE_bool("prepare", False, "Fetch and prepare what can be.")


def main():
    """Runs the program; its flags are parsed."""
    # TensorFlow's own messages would drown the table.
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
        raise UserError(f"Not prepared: {', '.join(failed)}; the reasons stand above.")


if __name__ == "__main__":
    cli.run(main, define_flags)
