"""Few-shot subsets are balanced, nested, and repeatable."""

import dataclasses

import numpy as np
import pytest

from vpt_gen.data.fewshot import choose_classes, choose_shots
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError


@pytest.fixture
def source():
    """Example i is an image of value i; 12 of class a, 9 of b, 20 of c, in mixed order."""
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [12, 9, 20]))
    return Source(
        name="made",
        class_names=("a", "b", "c"),
        labels=labels.astype(np.int32),
        load=lambda i: np.full((1, 1, 3), i, np.uint8),
        digest="made",
    )


def positions(source):
    """Which examples of the fixture a subset holds."""
    return [int(source.load(i)[0, 0, 0]) for i in range(len(source))]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_shots_are_balanced_and_nested(source, seed):
    inner, outer = choose_shots(source, 2, seed), choose_shots(source, 5, seed)
    for subset, shots in ((inner, 2), (outer, 5)):
        assert np.bincount(subset.labels).tolist() == [shots] * 3
        assert subset.labels.tolist() == [source.labels[i] for i in positions(subset)]
    assert set(positions(inner)) < set(positions(outer))
    assert positions(outer) == sorted(positions(outer))


def test_a_class_s_shots_do_not_hang_on_the_other_classes(source):
    whole = choose_shots(source, 5, 3)
    of_c = {p for p, label in zip(positions(whole), whole.labels, strict=True) if label == 2}
    part = choose_shots(choose_classes(source, ("c", "a")), 5, 3)
    assert {p for p, label in zip(positions(part), part.labels, strict=True) if label == 0} == of_c
    # Another class of the same size has a draw of its own.
    twin = Source("twin", ("c", "d"), np.repeat([0, 1], 20).astype(np.int32), source.load, "twin")
    shots = np.array(positions(choose_shots(twin, 5, 3)))
    assert set(shots[:5]) != set(shots[5:] - 20)


def test_the_seed_decides(source):
    assert positions(choose_shots(source, 5, 3)) == positions(choose_shots(source, 5, 3))
    assert positions(choose_shots(source, 5, 3)) != positions(choose_shots(source, 5, 4))
    assert choose_shots(source, 5, 3).digest != choose_shots(source, 5, 4).digest


def test_a_class_s_shots_do_not_hang_on_the_spelling_of_an_accent(source):
    composed, decomposed = (
        dataclasses.replace(source, class_names=("a", "b", name))
        for name in ("caf\xe9", "cafe\u0301")
    )
    assert positions(choose_shots(composed, 5, 3)) == positions(choose_shots(decomposed, 5, 3))


def test_the_shots_of_a_name_stay_those_of_earlier_runs(source):
    generator = np.random.default_rng([3, 0xF5, *b"c"])
    expected = generator.permutation(np.flatnonzero(source.labels == 2))[:5]
    chosen = choose_shots(source, 5, 3)
    of_c = [p for p, label in zip(positions(chosen), chosen.labels, strict=True) if label == 2]
    assert of_c == sorted(expected)


def test_too_few_examples_are_named(source):
    assert len(choose_shots(source, 9, 0)) == 27
    with pytest.raises(UserError, match="shots is 10, but class 'b' of made has 9"):
        choose_shots(source, 10, 0)


def test_classes_are_renumbered_in_the_order_given(source):
    chosen = choose_classes(source, ("c", "a"))
    assert chosen.class_names == ("c", "a")
    assert np.bincount(chosen.labels).tolist() == [20, 12]
    original = source.labels[positions(chosen)]
    assert np.array_equal(original == 2, chosen.labels == 0)
    assert chosen.digest != choose_classes(source, ("a", "c")).digest


def test_unknown_and_repeated_classes_are_named(source):
    with pytest.raises(UserError, match="names 'd', which made does not have; it has a, b, c"):
        choose_classes(source, ("a", "d"))
    with pytest.raises(UserError, match="a class twice: a, a"):
        choose_classes(source, ("a", "a"))


def test_chosen_classes_are_called_as_they_were_typed(source):
    source = dataclasses.replace(source, class_names=("0", "cafe\u0301", "c"))
    chosen = choose_classes(source, ("caf\xe9", 0))
    assert chosen.class_names == ("caf\xe9", "0")
    assert np.bincount(chosen.labels).tolist() == [9, 12]
    with pytest.raises(UserError, match="names a class twice: caf.*, caf"):
        choose_classes(source, ("caf\xe9", "cafe\u0301"))
