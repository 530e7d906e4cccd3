"""Reads what runs trained: from a run's workdir, from an exported file, or from the Hub."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, cast

from etils import epath

from vpt_gen.checkpoints import hub, tuned_file
from vpt_gen.checkpoints.store import Store, finished_steps, read_record
from vpt_gen.checkpoints.tuned_file import StoredRun
from vpt_gen.config.migration import migrate
from vpt_gen.errors import UserError
from vpt_gen.methods import METHODS
from vpt_gen.training.average import average_of


def is_file(checkpoint: str) -> bool:
    """Whether --checkpoint names an exported file, here or on the Hub, instead of a workdir."""
    return hub.is_address(checkpoint) or checkpoint.endswith(tuned_file.SUFFIX)


def default_output(checkpoint: str, name: str) -> epath.Path:
    """Returns where a program writes by default: in the workdir, or next to the file.

    Output about a file on the Hub is written to the current folder.
    """
    if hub.is_address(checkpoint):
        repository = hub.parse(checkpoint).repository
        return epath.Path(f"{repository.rpartition('/')[2]}_{name}")
    path = epath.Path(checkpoint)
    return path.with_name(f"{path.stem}_{name}") if is_file(checkpoint) else path / name


def read_stored(checkpoint: str, step: int | None = None) -> list[StoredRun]:
    """Reads one run from a workdir, or the runs of a file, with their configs of today.

    Args:
      checkpoint: a workdir, the path of a file, or `hf://<owner>/<repository>`.
      step: of a checkpoint that was kept; None is the newest. A file has one.

    Raises:
      UserError: no such run, file or step, or a damaged one.
    """
    if not is_file(checkpoint):
        return [_of_workdir(checkpoint, step)]
    at_hub = hub.is_address(checkpoint)
    path = hub.fetch(hub.parse(checkpoint)) if at_hub else pathlib.Path(checkpoint).expanduser()
    runs = [
        dataclasses.replace(run, source=checkpoint, config=_config_of(checkpoint, run.config))
        for run in tuned_file.read(path)
    ]
    newest = max(run.step for run in runs)
    if step not in (None, newest):
        raise UserError(f"{checkpoint} holds no checkpoint of update {step}; it has {newest}.")
    return runs


def newest_step(checkpoint: str) -> int | None:
    """Returns the newest update that a workdir holds; None of a file, which holds only one.

    A run may be training there at the same time.

    Raises:
      UserError: a workdir without a finished checkpoint.
    """
    if is_file(checkpoint):
        return None
    return max(_required_steps(checkpoint))


def _required_steps(workdir: str) -> list[int]:
    if not (steps := finished_steps(workdir)):
        raise UserError(f"{workdir} holds no finished checkpoint yet; train it first.")
    return steps


def _of_workdir(workdir: str, step: int | None) -> StoredRun:
    record = read_record(workdir, {"facts.class_names": list})
    config = _config_of(workdir, record["config"])
    _required_steps(workdir)
    with contextlib.closing(Store(workdir, read_only=True)) as store:
        params = store.restore_params(step)
        if config.get("ema"):
            params = average_of(params)
        # A checkpoint was restored, so one exists.
        at = cast(int, store.latest_step()) if step is None else step
    return StoredRun(workdir, config, record["facts"], at, params)


def _config_of(source: str, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a recorded config to today's fields; UserError if its task is no method."""
    config = migrate(recorded)
    if config["task"] not in METHODS:
        raise UserError(
            f"{source} is a run of {config['task']}; generating needs a run of a method: "
            f"{', '.join(METHODS)}."
        )
    return config
