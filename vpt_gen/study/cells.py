"""The cells of a study, their order and their folders."""

import dataclasses
import pathlib
from collections.abc import Iterator

from ml_collections import ConfigDict

KINDS = ("calibration", "search", "cells")


@dataclasses.dataclass(frozen=True)
class Group:
    """Cells that share a learning rate and a number of updates.

    Attributes:
      variant: name of a trained variant.
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
      kind: of `KINDS`: measures the rate of updates, tries a learning rate, or gives results.
      group: its group.
      variant: its own, which may only sample differently.
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
        """Its folder in the study's folder."""
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
    """Returns the groups of a shard (i, n), in the order of running.

    A shard has every n-th pair of variant and data set, from number i on, with all their shots; the
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
    """Returns the group whose search chooses the learning rate of `group`: itself, or another."""
    if study.search.shots is None:
        return group
    return dataclasses.replace(group, shots=study.search.shots)


def cells_of(study: ConfigDict, group: Group) -> Iterator[Cell]:
    """Returns the cells of a group; each may need earlier ones, never later ones."""
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
    """Returns the cells of all groups of a shard (i, n), each after those that it needs."""
    return [cell for group in groups(study, shard) for cell in cells_of(study, group)]


def searches(study: ConfigDict) -> bool:
    """Whether learning rates are searched."""
    return len(study.search.multiples) > 1


def chooses(study: ConfigDict, cell: Cell) -> bool:
    """Whether a cell's run is measured on validation images, to choose something."""
    return cell.kind == "search" or study.variants[cell.variant].keep_best
