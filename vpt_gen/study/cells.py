"""The cells of a study: what they are, in which order they run, and where they lie."""

import dataclasses
import pathlib
from collections.abc import Iterator

from ml_collections import ConfigDict

KINDS = ("calibration", "search", "cells")


@dataclasses.dataclass(frozen=True)
class Group:
    """What shares a learning rate and a number of updates; one host runs a group.

    Attributes:
      variant: name of one that is trained.
      dataset: name of the data set.
      shots: training images a class; 0 for all.
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


def groups(study: ConfigDict) -> list[Group]:
    """All groups, in the order in which they run: few shots of all variants first."""
    return [
        Group(variant, dataset, shots)
        for dataset in study.datasets
        for shots in study.shots
        for variant, of in study.variants.items()
        if not of.trained_as
    ]


def cells_of(study: ConfigDict, group: Group) -> Iterator[Cell]:
    """The cells of a group; each needs some that come before it, and none that come after."""
    if study.budget.seconds:
        yield Cell("calibration", group, group.variant, study.search.seed)
    if searches(study):
        for multiple in study.search.multiples:
            yield Cell("search", group, group.variant, study.search.seed, multiple)
    variants = [group.variant]
    variants += [name for name, of in study.variants.items() if of.trained_as == group.variant]
    for variant in variants:
        for seed in study.seeds:
            yield Cell("cells", group, variant, seed)


def all_cells(study: ConfigDict, shard: tuple[int, int] = (0, 1)) -> list[Cell]:
    """The cells of the groups number i, i + n, i + 2 n, ... for the shard (i, n)."""
    index, count = shard
    return [cell for group in groups(study)[index::count] for cell in cells_of(study, group)]


def searches(study: ConfigDict) -> bool:
    """Whether learning rates are searched for."""
    return len(study.search.multiples) > 1
