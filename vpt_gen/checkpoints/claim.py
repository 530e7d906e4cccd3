"""Whose a working directory is: its record is compared with a run before that writes anything.

What is missing or damaged proves nothing: results without a readable record may be anybody's.
"""

import json
import pathlib
import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
from etils import epath

from vpt_gen.checkpoints.store import (
    CONFIG_FILE,
    NUM_IMAGES,
    brief,
    differences,
    finished_steps,
    is_unfinished,
    read_record,
)
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.machine.files import write_json

# What a run leaves in its folder in addition to checkpoints.
_RESULTS = ("net", "metrics.json")
# What it writes before its first checkpoint.
_BEGINNINGS = ("seconds.json", "events.out.tfevents.*", f"pictures/*_{'[0-9]' * 7}.png")


def claim_workdir(
    workdir: str,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    migrate: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    may_change: Collection[str] = (),
) -> None:
    """Writes the run's config and facts, or checks that they are the ones already there.

    The caller holds the directory's lock. A directory in which a run has saved nothing does not
    belong to it yet; if it was another one, its curves and pictures are removed.

    Args:
      workdir: the run's directory.
      config: of the run.
      facts: about it, such as class names and digests.
      migrate: a config recorded by an older version -> the same with today's fields.
      may_change: fields of the config that the run may resume with other values of; it then has the
        new ones on record.

    Raises:
      UserError: the directory belongs to a run with another config or other facts, or may belong to
        one because the record of what is there is missing or damaged; it cannot be written, or is
        not the same for all processes; or the run has gone beyond a new `num_steps`.
    """
    path = epath.Path(workdir) / CONFIG_FILE
    record = json.loads(json.dumps({"config": config, "facts": facts}))
    recorded = read_record(workdir) if path.exists() else None
    claimed = _left_by_a_run(epath.Path(workdir))
    if claimed:
        if recorded is None:
            raise UserError(
                f"Workdir {workdir} holds {claimed}, but no {CONFIG_FILE} that says of which run: "
                "choose another --workdir, or restore that file."
            )
        changes = {name: record["config"][name] for name in may_change}
        resumed = {**recorded, "config": {**recorded["config"], **changes}}
        _check_same_run(workdir, {**resumed, "config": migrate(resumed["config"])}, record)
        if "num_steps" in changes:
            _check_end(workdir, changes["num_steps"])
        if resumed != recorded and distributed.is_first():
            write_json(path, resumed)
    elif distributed.is_first():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if recorded not in (None, record):
                _remove_beginnings(path.parent)
            write_json(path, record)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise UserError(f"Cannot write to workdir {workdir}: {error.strerror}.") from error
    distributed.wait_for_all("workdir claimed")
    # For an existing run, every process compared the record above.
    if not path.exists() or (not claimed and differences(read_record(workdir), record)):
        raise UserError(
            f"Workdir {workdir} of process {jax.process_index()} is not that of process 0: all "
            "hosts need the same command and a folder or bucket that they share."
        )


def _left_by_a_run(folder: epath.Path) -> str:
    """Returns the name of something that a run has left in its folder; '' if there is nothing."""
    checkpoints = folder / "checkpoints"
    for child in checkpoints.iterdir() if checkpoints.is_dir() else ():
        if not (is_unfinished(child) or child.name.startswith(".")):
            return f"checkpoints/{child.name}"
    return next((name for name in _RESULTS if (folder / name).exists()), "")


def _remove_beginnings(folder: epath.Path) -> None:
    """Removes what another run wrote that saved nothing; it would mix with what this one writes."""
    for path in [path for pattern in _BEGINNINGS for path in folder.glob(pattern)]:
        path.unlink()


def _check_same_run(workdir: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises UserError if two records are not of the same run."""
    if changed := differences(old["config"], new["config"], "config"):
        raise UserError(
            f"Workdir {workdir} belongs to another run ({'; '.join(changed[:3])}); use its config, "
            f"or choose another --workdir{_such_as(workdir, old['config'], new['config'])}."
        )
    if differences(old["facts"], new["facts"], "facts"):
        what, they = _in_words(old["facts"], new["facts"])
        raise UserError(f"Workdir {workdir}: {what}; restore {they}, or choose another --workdir.")


def _check_end(workdir: str, num_steps: int) -> None:
    """Raises UserError if a run would end before the updates that it has saved."""
    if (reached := max(finished_steps(workdir), default=0)) > num_steps:
        raise UserError(
            f"{workdir} has reached update {reached}, beyond config.num_steps = {num_steps}; give "
            f"at least {reached}."
        )


def _such_as(workdir: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Suggests a folder for a run that differs in its data: the one named by them, too."""
    for field in ("path", "name"):
        before, now = (config.get("data", {}).get(field) for config in (old, new))
        if before != now and now:
            folder = f"{epath.Path(workdir)}_{pathlib.PurePath(now).stem}"
            return f", such as {shlex.quote(f'--workdir={folder}')}"
    return ""


def _in_words(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str]:
    """Returns which fact differs, and the pronoun for it."""
    if old.get("data") != new.get("data"):
        then, now = old.get(NUM_IMAGES, "others"), new.get(NUM_IMAGES)
        counts = f"{then} then, {now} now" if then != now else f"{now} as before, but not the same"
        return f"the images differ from the run's: {counts}", "them"
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and key != NUM_IMAGES]
    name = changed[0]
    then, now = brief(old.get(name)), brief(new.get(name))
    return f"{name} differs from the run's: {then} then, {now} now", "it"
