"""Orbax store of a run's training states: asynchronous, atomic, keeps the newest and the best.

Training continues while a checkpoint is written, one at a time. All processes save together, each
what its devices hold.

Layout: `<workdir>/config.json` (the config the run was started with, and facts about the run such
as class names and the backbone's digest), `<workdir>/checkpoints/<step>/`.
"""

import contextlib
import math
import secrets
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from vpt_gen.checkpoints.checksum import checksums, summaries
from vpt_gen.checkpoints.reading import UnreadableError, attempt
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, json_files
from vpt_gen.machine.files import (
    absolute,
    in_bucket,
)
from vpt_gen.machine.progress import say

CONFIG_FILE = "config.json"
NUM_IMAGES = "num_images"  # A fact for messages; the digest of the data identifies them.
_DESCRIPTION = "_CHECKPOINT_METADATA"  # Orbax's, of a checkpoint.
# Fields that say where and how a run computes, not what: it may resume elsewhere.
# The facts have the digests of the nets, wherever config.backbone finds them.
_MAY_CHANGE = (
    "config.mesh",
    "config.accumulate",
    "config.data.cache_dir",
    "config.backbone",
    f"facts.{NUM_IMAGES}",
)
# Metrics that older runs saved under other names.
_OLDER_NAMES = {
    "memorization_rate": "memorisation_rate",
    "intra_class_lpips": "intra_lpips",
}
_UNFINISHED = ".orbax-checkpoint-tmp"  # Part of the name of a checkpoint that Orbax writes.
_CHECKPOINT_OVERHEAD = 1_000_000  # bytes in addition to the arrays, an upper bound


class _Manager(ocp.CheckpointManager):
    """Takes metrics that are damaged for metrics that were not measured."""

    def metrics(self, step: int) -> Any:
        try:
            found = super().metrics(step)
            return None if found is None else {name: float(x) for name, x in found.items()}
        except (AttributeError, OSError, TypeError, ValueError) as error:
            say(f"The metrics of update {step} are damaged ({error}); it cannot be the best.")
            return None


class Store:
    """Saves and restores training states in a working directory."""

    def __init__(
        self,
        workdir: str,
        keep: int = 1,
        best_metric: str | None = None,
        read_only: bool = False,
        higher_is_better: bool = False,
    ):
        """Opens the store.

        Args:
          workdir: the run's directory.
          keep: number of newest checkpoints to keep.
          read_only: only reads; a run may be training there at the same time.
          best_metric: an evaluation metric whose best checkpoint is kept too.
          higher_is_better: whether the best is the highest; otherwise it is the lowest.
        """
        self._workdir = workdir
        self._best_metric = best_metric
        policies = [ocp.checkpoint_managers.LatestN(keep)]

        if best_metric is not None:

            def best_fn(metrics: Mapping[str, float]) -> float:
                older = _OLDER_NAMES.get(best_metric, best_metric)
                return metrics[best_metric if best_metric in metrics else older]

            best = ocp.checkpoint_managers.BestN(
                get_metric_fn=best_fn,
                n=1,
                reverse=not higher_is_better,
                keep_checkpoints_without_metrics=False,
            )
            policies.append(best)
        self._manager = _Manager(
            absolute(workdir) / "checkpoints",
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                # Without a best_fn Orbax would not save the metrics.
                best_fn=best_fn if best_metric is not None else None,
                best_mode="max" if higher_is_better else "min",
                read_only=read_only,
                create=not read_only,
                cleanup_tmp_directories=not read_only,
                # Hosts may briefly see different files on a shared disk.
                single_host_load_and_broadcast=True,
                preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(policies),
                # A damaged checkpoint does not keep the others from being listed.
                lightweight_initialize=True,
            ),
        )
        if best_metric is not None:
            self._read_metrics()

    def _read_metrics(self) -> None:
        """Reads the metrics of all checkpoints, of which the best is kept."""
        # `restore` moves a damaged checkpoint aside before it calls this again.
        with contextlib.suppress(UnreadableError):
            attempt(self._manager.reload)

    def latest_step(self) -> int | None:
        # With several processes, Orbax gives a NumPy integer, which JSON does not know.
        return None if (step := self._manager.latest_step()) is None else int(step)

    def best_step(self) -> int | None:
        """Returns the kept step with the best `best_metric`; None if it was never measured."""
        return self._manager.best_step() if self._best_metric else None

    def save(self, step: int, state: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Starts to save in the background; an existing step is not replaced.

        `state` may be donated when this returns. Waits for a save that is still in progress.

        Args:
          step: updates done.
          state: of training.
          metrics: measured at this step; without a finite `best_metric` the step cannot be the
            best.

        Raises:
          UserError: the disk is full.
        """
        if step != self._manager.latest_step():
            self._check_room(state)
            if not math.isfinite((metrics or {}).get(self._best_metric or "", math.nan)):
                metrics = None
            self._manager.save(
                step,
                args=ocp.args.StandardSave(state),
                metrics=metrics,
                custom_metadata={"checksums": checksums(state)},
            )

    def _check_room(self, state: Any) -> None:
        if in_bucket(self._workdir):
            return
        # Orbax writes in the background and would report a full disk late and at length.
        needed = sum(x.nbytes for x in jax.tree.leaves(state)) + _CHECKPOINT_OVERHEAD
        free = shutil.disk_usage(self._workdir).free
        if not distributed.all_agree(free >= needed):
            raise UserError(
                f"The disk is full: a checkpoint needs {needed / 1e6:.1f} MB and {self._workdir} "
                f"has {free / 1e6:.1f} MB left; free some space and give the same command again "
                "(finished checkpoints are intact)."
            )

    def restore(self, like: Any) -> Any | None:
        """Returns the newest intact state, with the shapes and shardings of `like`; or None.

        A damaged one is reported and moved aside, so that the run can reach its step again.

        Raises:
          UserError: all checkpoints are damaged.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        state: Any | None = None
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            # Orbax lists the metrics of all steps, so that those before must have readable ones.
            read, fault = self._read(step, abstract) if state is None else self._described(step)
            if not distributed.all_agree(fault is None):
                damaged[step] = fault or "another host cannot read it"
            elif state is None:
                state = read
        if state is not None:
            self._move_aside(damaged)
            return state
        if damaged:
            step, fault = next(iter(damaged.items()))
            raise UserError(
                f"The newest checkpoint of {self._workdir}, of update {step}, is damaged ({fault}) "
                "and no earlier one is intact: delete its folder checkpoints to start again."
            )
        return None

    def restore_params(self, step: int | None = None) -> Any:
        """Returns only the trained parameters of `step` (None: the newest), as numpy arrays.

        Nothing else is read: Adam's moments take twice the parameters' memory.

        Raises:
          UserError: the checkpoint is missing or damaged.
        """
        if self.latest_step() is None:
            raise UserError(f"{self._workdir} holds no finished checkpoint yet; train it first.")
        step = self.latest_step() if step is None else step
        kept = ", ".join(map(str, sorted(self._manager.all_steps())))
        if step is None or step not in self._manager.all_steps():
            raise UserError(f"{self._workdir} holds no checkpoint of update {step}; it has {kept}.")
        params, fault = self._read_params(step)
        if fault:
            raise UserError(
                f"The checkpoint of update {step} in {self._workdir} is damaged ({fault}); "
                f"it has those of {kept}: choose another with --step, or give the run's command "
                "again, which resumes from the newest intact one."
            )
        return params

    def _read(self, step: int, abstract: Any) -> tuple[Any, str | None]:
        """Returns the state of a step, and what is wrong with it, or None."""

        def restore():
            return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))

        return self._checked(step, restore)

    def _read_params(self, step: int) -> tuple[Any, str | None]:
        """Returns a step's parameters as numpy arrays, and what is wrong with them, or None."""

        def restore():
            path = self._manager.directory / str(step) / "default"
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                metadata = reader.metadata(path).item_metadata
                if metadata is None:
                    raise UnreadableError("the list of its arrays is missing or damaged")
                tree = {"params": metadata.tree["params"]}
                abstract = jax.tree.map(lambda m: np.empty(m.shape, m.dtype), tree)
                args = ocp.args.PyTreeRestore(
                    abstract,
                    restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), abstract),
                    partial_restore=True,
                )
                return reader.restore(path, args=args)

        state, fault = self._checked(step, restore, "params")
        return state and state["params"], fault

    def _checked(
        self, step: int, restore: Callable[[], Any], part: str = ""
    ) -> tuple[Any, str | None]:
        """Returns the result of `restore`, and what is wrong with it, or None.

        Args:
          step: number of the checkpoint.
          restore: reads the state or a part of it.
          part: the top-level name of that part; by default all.
        """
        try:
            expected = self._expected(step)
            state = attempt(restore)
        except UnreadableError as error:
            return None, str(error)
        found = summaries(state)
        wrong = [
            name
            for name, value in expected.items()
            if part in ("", name.split("/")[0])
            and (name not in found or found[name].checksum != value)
        ]
        if wrong:
            return state, f"{wrong[0]} is not what was saved"
        bad = [name for name, summary in found.items() if not summary.finite]
        return state, f"{bad[0]} is not finite" if bad else None

    def _described(self, step: int) -> tuple[None, str | None]:
        """Returns what is wrong with the description of a step, or None."""
        try:
            self._expected(step)
        except UnreadableError as error:
            return None, str(error)
        return None, None

    def _expected(self, step: int) -> dict[str, int]:
        """Returns the checksums of a step's arrays; older versions wrote none."""
        path = self._manager.directory / str(step) / _DESCRIPTION
        try:
            record = json_files.read_object(path, "", {"custom_metadata": (dict, type(None))})
        except json_files.DamagedFileError as error:
            raise UnreadableError(f"{_DESCRIPTION} is {error.fault}") from error
        custom = record["custom_metadata"] or {}
        return dict(custom.get("checksums") or {})

    def _move_aside(self, damaged: Mapping[int, str]) -> None:
        for step, fault in damaged.items():
            path = self._manager.directory / str(step)
            say(f"The checkpoint {path} is damaged ({fault}); it is moved aside.")
            if distributed.is_first():
                path.rename(path.with_name(f"{step}.damaged-{secrets.token_hex(4)}"))
        if damaged:
            distributed.wait_for_all("damaged checkpoints moved aside")
            self._read_metrics()

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()


def finished_steps(workdir: str) -> list[int]:
    """Returns the updates of the finished checkpoints in `workdir`, whether damaged or not."""
    folder = epath.Path(workdir) / "checkpoints"
    children = folder.iterdir() if folder.is_dir() else ()
    return [int(x.name) for x in children if x.name.isdecimal() and not is_unfinished(x)]


def is_unfinished(checkpoint: epath.Path) -> bool:
    """Whether Orbax has not written all of a checkpoint.

    Orbax adds to the name of such a one; in a bucket, where folders cannot be renamed, a file marks
    a finished one.
    """
    if in_bucket(checkpoint):
        return not (checkpoint / "commit_success.txt").exists()
    return _UNFINISHED in checkpoint.name


def read_record(workdir: str, kinds: Mapping[str, json_files.Kind] | None = None) -> dict[str, Any]:
    """Reads the `config` and `facts` of the run in `workdir`.

    Args:
      workdir: the run's directory.
      kinds: further keys that are needed, and their types, see `json_files.read_object`.

    Raises:
      UserError: no run, or a damaged file.
    """
    path = epath.Path(workdir) / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{workdir} is not the working directory of a run: no {CONFIG_FILE}.")
    cure = "restore it: the run's command writes it again into a new --workdir"
    record = json_files.read_object(path, cure, {"config": dict, "facts": dict, **(kinds or {})})
    if fault := fault_of_classes(record["facts"].get("class_names", [])):
        raise json_files.DamagedFileError(path, fault, cure)
    return record


def fault_of_classes(names: Any) -> str:
    """Returns what is wrong with recorded class names, or ''."""
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return "" if texts else "class_names are not texts"


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Lists the differences of two records, except for where a run computes and its nets are."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new), key=lambda key: (key != "task", key))
        prefix = f"{name}." if name else ""
        kept = [k for k in keys if prefix + k not in _MAY_CHANGE]
        return [d for k in kept for d in differences(old.get(k), new.get(k), prefix + k)]
    if old == new:
        return []
    return [f"{name} was {brief(old)}, is {brief(new)}"]


def brief(value: Any) -> str:
    """Formats a value for a message; digests are cut to their beginning."""
    return repr(value[:12] if isinstance(value, str) and len(value) == 64 else value)
