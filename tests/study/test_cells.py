"""The grid: every cell once, in an order in which each has what it needs."""

import itertools

import pytest

from tests.study.studies import small_study
from vpt_gen.errors import UserError
from vpt_gen.study.cells import KINDS, all_cells
from vpt_gen.study.config import (
    check_study,
    in_order,
    variant,
)


def test_every_combination_is_there_once():
    study = small_study()
    cells = all_cells(study)
    final = [cell for cell in cells if cell.kind == "cells"]
    expected = itertools.product(("zebra", "apple"), (5, 20), (0, 1, 2))
    assert sorted((c.variant, c.group.shots, c.seed) for c in final) == sorted(expected)
    assert len({cell.path for cell in cells}) == len(cells) == 12 + 2 * 2 * 3
    assert str(final[0]) == "cells/zebra/digits/5/0"


def test_a_cell_comes_after_what_it_needs():
    study = small_study()
    study.budget.steps, study.budget.seconds = 0, 3.0
    cells = all_cells(study)
    for group in {cell.group for cell in cells}:
        kinds = [KINDS.index(cell.kind) for cell in cells if cell.group == group]
        assert kinds == sorted(kinds) and kinds.count(0) == 1


def test_shards_are_disjoint_whole_groups():
    study = small_study()
    shards = [all_cells(study, (i, 3)) for i in range(3)]
    together = [cell for shard in shards for cell in shard]
    assert sorted(map(str, together)) == sorted(map(str, all_cells(study)))
    groups = [{cell.group for cell in shard} for shard in shards]
    assert not any(a & b for a, b in itertools.combinations(groups, 2))
    assert [len(shard) for shard in shards] == [12, 12, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_one_search_for_all_shots_comes_before_what_it_decides(count):
    study = small_study()
    study.search.shots = 20
    for index in range(count):
        cells = all_cells(study, (index, count))
        assert {cell.group.shots for cell in cells if cell.kind == "search"} == {20}
        for cell in cells:
            tries = [c for c in cells[: cells.index(cell)] if c.kind == "search"]
            assert cell.kind == "search" or cell.variant in {c.variant for c in tries}
    with pytest.raises(UserError, match="search.shots"):
        study.search.shots = 7
        check_study(study)


def test_a_variant_that_only_samples_differently_has_no_search_of_its_own():
    study = small_study()
    study.variants = in_order(a=variant("prompts"), b=variant("prompts", trained_as="a"))
    cells = [cell for cell in all_cells(study) if cell.variant == "b"]
    assert {cell.kind for cell in cells} == {"cells"} and len(cells) == 6
    assert {cell.group.variant for cell in cells} == {"a"}
