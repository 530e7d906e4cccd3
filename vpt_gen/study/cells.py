"""The cells of a study: what they are, in which order they run, and where they lie."""

import dataclasses
import pathlib
from collections.abc import Iterator

from ml_collections import ConfigDict

KINDS = ("calibration", "search", "cells")


@dataclasses.dataclass(frozen=True)
class Group:
    """What shares a learning rate and a number of updates.

    Attributes:
      variant: name of one that is trained.
      dataset: name of the data set.
      shots: training images per class; 0 for all.
    """

    variant: str
    dataset: str
    shots: int


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
      kind: of `KINDS`: measures the rate of updates, tries a learning rate, or counts.
      group: that it belongs to.
      variant: its own, which may be one that only samples differently.
      seed: of everything that is drawn.
      multiple: of the learning rate, in a search.
    """

    kind: str
    group: Group
    variant: str
    seed: int
    multiple: float = 1.0

    @property
    def path(self) -> pathlib.PurePath:
        """Where it lies in the study's folder."""
        shots = str(self.group.shots or "all")
        last = {
            "calibration": (),
            "search": (f"x{self.multiple:.4g}",),
            "cells": (str(self.seed),),
        }
        return pathlib.PurePath(
            self.kind, self.variant, self.group.dataset, shots, *last[self.kind]
        )

    def __str__(self) -> str:
        return str(self.path)


def groups(study: ConfigDict, shard: tuple[int, int] = (0, 1)) -> list[Group]:
    """The groups of a shard (i, n), in the order in which they run.

    A shard has every n-th pair of variant and data set from number i on, with all their shots; the
    shots that choose the learning rate for others come first.
    """
    index, count = shard
    trained = [name for name, of in study.variants.items() if not of.trained_as]
    pairs = [(dataset, variant) for dataset in study.datasets for variant in trained][index::count]
    shots = sorted(study.shots, key=lambda number: number != study.search.shots)
    return [
        Group(variant, dataset, number)
        for dataset in study.datasets
        for number in shots
        for variant in trained
        if (dataset, variant) in pairs
    ]


def searched(study: ConfigDict, group: Group) -> Group:
    """The group whose search chooses the learning rate of `group`: its own, or another's."""
    if study.search.shots is None:
        return group
    return dataclasses.replace(group, shots=study.search.shots)


def cells_of(study: ConfigDict, group: Group) -> Iterator[Cell]:
    """The cells of a group; each needs some that come before it, and none that come after."""
    if study.budget.seconds:
        yield Cell("calibration", group, group.variant, study.search.seed)
    if searches(study) and searched(study, group) == group:
        for multiple in study.search.multiples:
            yield Cell("search", group, group.variant, study.search.seed, multiple)
    variants = [group.variant]
    variants += [name for name, of in study.variants.items() if of.trained_as == group.variant]
    for variant in variants:
        for seed in study.seeds:
            yield Cell("cells", group, variant, seed)


def all_cells(study: ConfigDict, shard: tuple[int, int] = (0, 1)) -> list[Cell]:
    """The cells of all groups of a shard (i, n), each after those that it needs."""
    return [cell for group in groups(study, shard) for cell in cells_of(study, group)]


def searches(study: ConfigDict) -> bool:
    """Whether learning rates are searched for."""
    return len(study.search.multiples) > 1
