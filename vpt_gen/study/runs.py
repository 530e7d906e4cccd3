"""Commands that run a cell: exactly what a user would type."""

import dataclasses
import math
import pathlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.config import flag, repeat
from vpt_gen.config.check import check_config, check_stages
from vpt_gen.errors import UserError
from vpt_gen.evaluation.metrics import frechet
from vpt_gen.methods import METHODS
from vpt_gen.study.cells import Cell

# Number of measurements in a run that keeps its best checkpoint.
MEASUREMENTS = 5
# In a run that measures the rate of updates: the number of logged times, and the result's file.
LOGGED = 10
RATE = "rate.json"


@dataclasses.dataclass(frozen=True)
class Step:
    """A command, and the file that exists after it has succeeded.

    Attributes:
      arguments: of Python.
      result: written atomically by the command, as its last action.
    """

    arguments: tuple[str, ...]
    result: pathlib.Path

    @property
    def command(self) -> list[str]:
        """The command for a process."""
        return [sys.executable, *self.arguments]

    def __str__(self) -> str:
        """Returns the command for a shell."""
        return " ".join(["python", *map(shlex.quote, self.arguments)])


@dataclasses.dataclass(frozen=True)
class Choice:
    """The choices of a group's first cells for the later ones.

    Attributes:
      num_steps: updates of a whole run.
      multiple: factor of the variant's learning rates.
    """

    num_steps: int
    multiple: float


class Runs:
    """The commands of a study's cells."""

    def __init__(self, study: ConfigDict, folder: pathlib.Path, cache: pathlib.Path):
        """Opens nothing yet.

        Args:
          study: the checked study.
          folder: of the study.
          cache: folder of token caches, which one process at a time writes.
        """
        self._study, self._folder, self._cache = study, folder, cache
        self._bases: dict[tuple[str, str], ConfigDict] = {}

    def steps(self, cell: Cell, choice: Choice) -> Iterator[Step]:
        """Yields the steps of a cell; a step may depend on the results of earlier ones."""
        if cell.kind == "calibration":
            yield self._calibration(cell)
        elif cell.kind == "search":
            yield self._search(cell, choice)
        elif self._study.variants[cell.variant].trained_as:
            yield self._resampling(cell)
        elif self._study.variants[cell.variant].keep_best:
            yield from self._best_and_last(cell, choice)
        else:
            yield self._training(cell, self._final_fields(cell, choice))

    def _calibration(self, cell: Cell) -> Step:
        """Trains briefly; the runner writes `rate.json` from the events."""
        num_steps = self._study.budget.calibration_steps
        fields = {"num_steps": num_steps, "log_every": max(1, num_steps // LOGGED)}
        fields |= {"checkpoint_every": 0, "evaluation.num_samples": 0}
        fields |= self._shorter_stages(cell, num_steps)
        return self._training(cell, fields, RATE)

    def _search(self, cell: Cell, choice: Choice) -> Step:
        """Trains with a multiple of the learning rate, and measures on validation images."""
        search = self._study.search
        num_steps = max(1, round(search.share * choice.num_steps))
        fields = self._shorter_stages(cell, num_steps)
        fields |= self._trained_fields(cell, Choice(num_steps, cell.multiple))
        fields |= {
            "data.evaluate_on": "validation",
            "evaluation.num_samples": search.num_samples,
        }
        return self._training(cell, fields)

    def _final_fields(self, cell: Cell, choice: Choice) -> dict[str, Any]:
        samples = {"evaluation.num_samples": self._study.samples.num}
        return self._trained_fields(cell, choice) | samples

    def _best_and_last(self, cell: Cell, choice: Choice) -> Iterator[Step]:
        """Yields training with measurements on validation images, then two evaluations."""
        fields = self._final_fields(cell, choice) | {
            "evaluation.every": math.ceil(choice.num_steps / MEASUREMENTS),
            "best_metric": distance_of(self._study),
            "data.evaluate_on": "validation",
            "keep_checkpoints": 1,
        }
        yield self._training(cell, fields)
        flags = self._config_flags(cell, {**fields, "data.evaluate_on": "holdout"})
        # If they were deleted, the evaluation says so; finished ones do not need them.
        saved = [int(path.name) for path in checkpoints_of(self._folder / cell.path)] or [0]
        for name, step in (("last", max(saved)), ("best", min(saved))):
            yield self._evaluation(cell, cell, name, (*flags, f"--step={step}"))

    def _resampling(self, cell: Cell) -> Step:
        """Draws images from the runs of another variant, sampled differently."""
        variant = self._study.variants[cell.variant]
        trained = dataclasses.replace(cell, variant=variant.trained_as)
        return self._evaluation(cell, trained, "", tuple(variant.sampling))

    def _training(self, cell: Cell, fields: Mapping[str, Any], result="metrics.json") -> Step:
        workdir = self._folder / cell.path
        flags = (*self._config_flags(cell, fields), f"--workdir={workdir}")
        return Step(("-m", "vpt_gen.main", *flags), workdir / result)

    def _evaluation(self, cell: Cell, of: Cell, folder: str, flags: tuple[str, ...]) -> Step:
        samples = self._study.samples
        output = self._folder / cell.path / folder
        values = {
            "checkpoint": self._folder / of.path,
            "num": samples.num,
            "class_counts": "even",
            "seed": cell.seed,
            "features": samples.features,
            "weights_dir": samples.weights_dir,
            "output": output,
        }
        given = tuple(f"--{name}={value}" for name, value in values.items())
        return Step(("-m", "vpt_gen.evaluate", *given, *flags), output / "metrics.json")

    def base(self, variant: str, dataset: str) -> ConfigDict:
        """Returns the common config of all runs of a variant on a data set, as a copy.

        Raises:
          UserError: a missing method, file or field, or an impossible config.
        """
        if (variant, dataset) not in self._bases:
            self._bases[variant, dataset] = self._load_base(variant, dataset)
        return self._bases[variant, dataset].copy_and_resolve_references()

    def _load_base(self, variant: str, dataset: str) -> ConfigDict:
        """Loads `base` from its file; loading and checking take longer than the rest of a cell."""
        where = f"Variant {variant} on data set {dataset}"
        try:
            config = flag.load(*self._config_file(variant, dataset))
            for name, value in self._shared_fields(variant, dataset).items():
                _set(config, name, value)
            check_config(config)
            for multiple in self._study.search.multiples:
                self._check_whole_run(config, variant, multiple)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if not (config.data.holdout or config.data.eval_split):
            raise UserError(
                f"{where}: there are no held-out images to measure with; set data.holdout above 0."
            )
        return config

    def _config_file(self, variant: str, dataset: str) -> tuple[str, str]:
        """Returns the file of configs/ and its argument: a family, if any, and a method."""
        file, *family = self._study.datasets[dataset].config.split(":", 1)
        return file, ",".join([*family, self._study.variants[variant].method])

    def _shared_fields(self, variant: str, dataset: str) -> dict[str, Any]:
        parts = (self._study.datasets[dataset], self._study, self._study.variants[variant])
        fields: dict[str, Any] = {}
        for part in parts:
            fields |= repeat.flatten(part.set.to_dict())
        return fields | {
            "data.validation": self._study.validation,
            "eval_every": 0,
            "evaluation.baselines": False,
            "evaluation.judge_shots": self._study.samples.judge_shots,
            "evaluation.features": self._study.samples.features,
            "evaluation.weights_dir": self._study.samples.weights_dir,
        }

    def _config_flags(self, cell: Cell, fields: Mapping[str, Any]) -> tuple[str, ...]:
        variant, dataset = cell.group.variant, cell.group.dataset
        file, argument = self._config_file(variant, dataset)
        fields = self._shared_fields(variant, dataset) | {
            "data.shots": cell.group.shots,
            "data.shots_seed": cell.seed,
            "seed": cell.seed,
            **fields,
            "data.cache_dir": str(self._cache),
        }
        given = (f"--config.{name}={repeat.argument(value)}" for name, value in fields.items())
        return (f"--config={file}{argument and ':'}{argument}", *given)

    def _shorter_stages(self, cell: Cell, num_steps: int) -> dict[str, Any]:
        """Returns the warm-up and the first stage of a run in which a whole run's do not fit."""
        config = self.base(cell.group.variant, cell.group.dataset)
        fields: dict[str, Any] = {}
        if config.optimizer.warmup_steps > num_steps:
            fields["optimizer.warmup_steps"] = num_steps
        method = METHODS[config.task]
        if method.first_stage and config[method.group][method.first_stage] >= num_steps:
            fields[f"{method.group}.{method.first_stage}"] = num_steps // 2
        return fields

    def _check_whole_run(self, config: ConfigDict, variant: str, multiple: float) -> None:
        """Raises UserError if a whole run with a multiple of the learning rate is impossible."""
        choice = Choice(self._study.budget.steps or config.num_steps, multiple)
        chosen = config.copy_and_resolve_references()
        for name, value in self._chosen_fields(config, variant, choice).items():
            _set(chosen, name, value)
        check_config(chosen)
        check_stages(chosen)

    def _trained_fields(self, cell: Cell, choice: Choice) -> dict[str, Any]:
        config = self.base(cell.group.variant, cell.group.dataset)
        return self._chosen_fields(config, cell.group.variant, choice)

    def _chosen_fields(self, config: ConfigDict, name: str, choice: Choice) -> dict[str, Any]:
        """Returns the number of updates, and fields that depend on it or on the multiple."""
        variant = self._study.variants[name]
        shares = repeat.flatten(variant.shares.to_dict())
        return {
            "num_steps": choice.num_steps,
            **{name: round(share * choice.num_steps) for name, share in shares.items()},
            # Six digits, for people to read and type.
            **{
                name: float(f"{choice.multiple * _get(config, name):.6g}")
                for name in variant.learning_rates
            },
        }


def distance_of(study: ConfigDict) -> str:
    """Returns the figure for choosing learning rates and best checkpoints; lower is better."""
    return frechet.name_in(study.samples.features)


def checkpoints_of(workdir: pathlib.Path) -> list[pathlib.Path]:
    """Returns the finished checkpoints of a run; none if their folder is missing."""
    return [path for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal()]


def _get(config: ConfigDict, name: str) -> Any:
    for part in name.split("."):
        if part not in config:
            raise UserError(f"learning_rates names {name}, which its config does not have.")
        config = config[part]
    return config


def _set(config: ConfigDict, name: str, value: Any) -> None:
    *groups, last = name.split(".")
    try:
        for group in groups:
            config = config[group]
        config[last] = tuple(value) if isinstance(value, list) else value
    except (KeyError, AttributeError, TypeError) as error:
        reason = str(error).strip("\"'").splitlines()[0]
        raise UserError(
            f"set has {name}={value!r}, which its config does not take: {reason}"
        ) from (error)
