"""The config of a study: every field with its default, and its check.

A file `configs/study_<name>.py` starts from `default_study()` and names variants and data sets.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from vpt_gen.checkpoints.feature_spaces import FEATURE_SPACES
from vpt_gen.config.check import check
from vpt_gen.config.ranges import check_ranges, table_ranges
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.ranges import (
    CountOrZero,
    Positive,
    Range,
    Seed,
    Several,
    Share,
    ShareBelowOne,
    UpdatesOrZero,
    check_number,
    range_of,
)

# Names of variants and data sets are also names of folders.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")

# The types of all numbers.
FIELDS: dict[str, Any] = {
    "shots": tuple[CountOrZero, ...],
    "seeds": tuple[Seed, ...],
    "budget.steps": UpdatesOrZero,
    "budget.seconds": Annotated[float, Range(0, 10**9)],
    # Fewer give no times of updates after compilation.
    "budget.calibration_steps": Annotated[int, Range(20, 10**6, whole=True)],
    "search.multiples": tuple[Positive, ...],
    "search.share": Annotated[float, Range(0, 1, above=True)],
    "search.seed": Seed,
    "search.shots": CountOrZero,
    "search.num_samples": Several,
    "samples.num": Several,
    "samples.judge_shots": CountOrZero,
    "validation": ShareBelowOne,
}


def default_study() -> ConfigDict:
    """Returns all fields of a study, locked except for the names of variants and data sets."""
    study = ConfigDict()
    # Title of the page.
    study.title = "A study"
    # The axes: `in_order(name=variant(...))` and `in_order(name=dataset(...))`, training images a
    # class (0 for all), and seeds. A seed draws training images, parameters, batches and samples.
    study.variants = ConfigDict()
    study.datasets = ConfigDict()
    study.shots = (0,)
    study.seeds = (0, 1, 2)
    # Budget of every run, one of the two: updates, or seconds of updates. A short run of
    # calibration_steps updates converts seconds to updates, so that the schedule ends with the run.
    study.budget = ConfigDict({"steps": 0, "seconds": 0.0, "calibration_steps": 60})
    study.search = _search()
    study.samples = _samples()
    # Share of each class, of what is not held out, to choose learning rates and checkpoints on;
    # no run trains on it. 0 if nothing is chosen.
    study.validation = 0.1
    # Fields of the config of every run, nested: {"decode": {"num_iterations": 8}}.
    study.set = ConfigDict()
    return study.lock()


def _search() -> ConfigDict:
    # The learning rate of a variant is chosen for each data set and number of shots: among
    # multiples of the variant's own, by the distance of generated from validation images, in runs
    # of `seed` that get a share of the budget. A single multiple needs no search. `shots`, one of
    # the study's, saves time: its choice is used for all numbers of shots.
    search = ConfigDict(
        {"multiples": (1 / 3, 1.0, 3.0), "share": 1.0, "seed": 0, "num_samples": 200}
    )
    search.shots = placeholder(int)
    return search


def _samples() -> ConfigDict:
    # Images to generate for the metrics of a cell, over all classes evenly; the features that are
    # compared, 'photos' for color images; and the real images per class for the classifier of
    # class agreement and for floors, the same for all shots and seeds (0: the training images).
    return ConfigDict(
        {"num": 500, "features": "tokenizer", "weights_dir": "weights", "judge_shots": 0}
    )


def in_order(**entries: ConfigDict) -> ConfigDict:
    """Returns variants or data sets by name, in this order; a plain ConfigDict sorts them."""
    return ConfigDict(entries, sort_keys=False)


def variant(
    method: str,
    label: str = "",
    set: Mapping[str, Any] | None = None,
    shares: Mapping[str, Any] | None = None,
    learning_rates: Sequence[str] = ("optimizer.learning_rate",),
    keep_best: bool = False,
    trained_as: str = "",
    sampling: Sequence[str] = (),
) -> ConfigDict:
    """Makes a variant: a method with its settings in a study.

    Args:
      method: argument of the data set's config file: configs/demo.py:lora.
      label: for tables; '' for the name.
      set: fields of its runs, nested: {"prompt": {"num_prompt_tokens": 4}}.
      shares: fields that are a share of a run's updates, nested: {"minegan": {"miner_steps": 0.3}}.
      learning_rates: fields that the search multiplies by the same factor.
      keep_best: also report the checkpoint closest to the validation images (measured five times in
        a run), besides the last, which is the result: for methods that may collapse.
      trained_as: name of the variant whose runs are used, if only sampling differs.
      sampling: in this case, flags of vpt_gen.evaluate, such as "--marquee=instance_to_class".
    """
    return ConfigDict(
        {
            "method": method,
            "label": label,
            "set": ConfigDict(dict(set or {})),
            "shares": ConfigDict(dict(shares or {})),
            "learning_rates": tuple(learning_rates),
            "keep_best": keep_best,
            "trained_as": trained_as,
            "sampling": tuple(sampling),
        }
    )


def dataset(config: str, label: str = "", set: Mapping[str, Any] | None = None) -> ConfigDict:
    """Makes a data set: data to adapt to, and the source model.

    Args:
      config: file of configs/ that takes a method as its argument.
      label: for tables; '' for the name.
      set: fields of its runs, nested: {"data": {"path": "my_images"}}.
    """
    return ConfigDict({"config": config, "label": label, "set": ConfigDict(dict(set or {}))})


def check_study(study: ConfigDict) -> None:
    """Raises UserError for an impossible grid; the configs of runs are checked separately."""
    for axis in ("variants", "datasets", "shots", "seeds"):
        if not len(study[axis]):
            raise UserError(f"config.{axis} is empty: a study needs at least one.")
    check_ranges(study, table_ranges(FIELDS))
    for axis in ("shots", "seeds"):
        different = len(set(study[axis])) == len(study[axis])
        check(study, axis, different, "different whole numbers")
    for name in (*study.variants, *study.datasets):
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} names a folder of the study: use only letters, digits, _, + and -."
            )
    _check_numbers(study)
    for name, of in study.variants.items():
        _check_variant(study, name, of)


def _check_numbers(study: ConfigDict) -> None:
    budget, search = study.budget, study.search
    if (budget.steps > 0) == (budget.seconds > 0):
        raise UserError(
            f"config.budget has steps={budget.steps} and seconds={budget.seconds:g}: give one of "
            "the two, and leave the other 0."
        )
    checks = {
        "search.multiples": (len(search.multiples) > 0, "one number or more"),
        "search.shots": (search.shots in (None, *study.shots), f"one of shots={study.shots}"),
        "samples.features": (
            study.samples.features in FEATURE_SPACES,
            " or ".join(FEATURE_SPACES),
        ),
    }
    for name, (holds, wanted) in checks.items():
        check(study, name, holds, wanted)
    chooses = len(search.multiples) > 1 or any(of.keep_best for of in study.variants.values())
    wanted = "positive, as learning rates or checkpoints are chosen on validation images"
    check(study, "validation", study.validation > 0 or not chooses, wanted)


def _check_variant(study: ConfigDict, name: str, of: ConfigDict) -> None:
    for field, share in flatten(of.shares.to_dict()).items():
        check_number(f"config.variants.{name}.shares.{field}", share, range_of(Share))
    if of.sampling and not of.trained_as:
        raise UserError(
            f"config.variants.{name} has sampling: name the variant whose runs it draws from by "
            "trained_as."
        )
    if not of.trained_as:
        return
    other = study.variants.get(of.trained_as)
    if other is None or other.trained_as:
        trained = ", ".join(other for other, v in study.variants.items() if not v.trained_as)
        raise UserError(
            f"config.variants.{name} is trained_as {of.trained_as!r}, which is not a trained "
            f"variant; use one of {trained}."
        )
    if of.method != other.method or of.set or of.shares or of.keep_best:
        raise UserError(
            f"config.variants.{name} is trained_as {of.trained_as!r}: it uses that one's method, "
            "so leave out set, shares and keep_best."
        )
