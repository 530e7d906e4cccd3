"""Sources: subsets, digests, and the split into training and held-out examples."""

import numpy as np
import pytest

from vpt_gen.data.source import (
    Source,
    digest_of,
    split,
)


def toy(counts=(10, 4, 7), digest="d"):
    """A source whose image at `index` has every pixel `index`; classes are interleaved."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(0).permutation(labels).astype(np.int32)
    names = tuple(f"class {c}" for c in range(len(counts)))
    return Source("toy", names, labels, lambda i: np.full((2, 2, 3), i, np.uint8), digest)


def indices(source):
    return [int(source.load(i)[0, 0, 0]) for i in range(len(source))]


def test_subset_renumbers_images_and_labels():
    source = toy()
    subset = source.subset([5, 2, 5])
    assert len(subset) == 3
    assert indices(subset) == [5, 2, 5]
    np.testing.assert_array_equal(subset.labels, source.labels[[5, 2, 5]])
    assert indices(subset.subset([1])) == [2]


def test_subset_digest_depends_on_source_and_order():
    digests = {
        toy().digest,
        toy().subset([0, 1]).digest,
        toy().subset([1, 0]).digest,
        toy(digest="other").subset([0, 1]).digest,
    }
    assert len(digests) == 4
    assert toy().subset([0, 1]).digest == toy().subset(np.array([0, 1])).digest


def test_digest_of_tells_parts_shapes_and_types_apart():
    parts = [
        ("ab",),
        ("a", "b"),
        (np.zeros(4, np.uint8),),
        (np.zeros(4, np.int8),),
        (np.zeros((2, 2), np.uint8),),
        (np.zeros(1, np.int32),),
        (np.ones(1, np.int32),),
    ]
    assert len({digest_of(*part) for part in parts}) == len(parts)
    rows = np.arange(6).reshape(2, 3)
    assert digest_of(rows[:, ::2]) == digest_of(rows[:, ::2].copy())


@pytest.mark.parametrize("holdout", [0.25, 0.5, 0.9])
def test_split_is_stratified_and_disjoint(holdout):
    source = toy()
    train, held_out = split(source, holdout, seed=0)
    np.testing.assert_array_equal(
        np.bincount(held_out.labels, minlength=3), [int(holdout * n) for n in (10, 4, 7)]
    )
    assert sorted(indices(train) + indices(held_out)) == list(range(21))
    assert train.class_names == held_out.class_names == source.class_names
    assert train.labels.dtype == held_out.labels.dtype == np.int32


def test_split_keeps_the_order_and_the_labels():
    source = toy()
    for part in split(source, 0.5, seed=0):
        assert indices(part) == sorted(indices(part))
        np.testing.assert_array_equal(part.labels, source.labels[indices(part)])


def test_split_depends_on_the_seed_alone():
    first, again, other = (split(toy(), 0.5, seed)[1] for seed in (0, 0, 1))
    assert indices(first) == indices(again)
    assert first.digest == again.digest
    assert indices(first) != indices(other)


@pytest.mark.parametrize(("counts", "holdout"), [((10, 4), 0.0), ((3, 2, 1), 0.3)])
def test_nothing_to_hold_out(counts, holdout):
    source = toy(counts)
    train, held_out = split(source, holdout, seed=0)
    assert train is source
    assert held_out is None


@pytest.mark.parametrize(("holdout", "expected"), [(0.29, 29), (0.57, 57), (0.7, 70), (0.999, 99)])
def test_rounding_of_the_share(holdout, expected):
    assert len(split(toy((100,)), holdout, seed=0)[1]) == expected
