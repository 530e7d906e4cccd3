"""The grid: every cell once, in an order in which each has what it needs."""

import itertools

from tests.study.studies import small_study
from vpt_gen.study.cells import KINDS, all_cells
from vpt_gen.study.config import in_order, variant


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


def test_a_variant_that_only_samples_differently_has_no_search_of_its_own():
    study = small_study()
    study.variants = in_order(a=variant("prompts"), b=variant("prompts", trained_as="a"))
    cells = [cell for cell in all_cells(study) if cell.variant == "b"]
    assert {cell.kind for cell in cells} == {"cells"} and len(cells) == 6
    assert {cell.group.variant for cell in cells} == {"a"}
