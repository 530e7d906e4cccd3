"""Batches of images: what batch t holds depends on (seed, t), and nothing is lost or repeated."""

import itertools

import numpy as np
import pytest

from vpt_gen.data.pipeline import (
    ImageSpec,
    eval_batches,
    eval_shares,
    train_batches,
    view_stream,
)
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError

PLAIN = ImageSpec(4, "crop")
AUGMENTED = ImageSpec(4, "crop", Augmentation(flip=True, rotation=30.0, shift=0.2))


def toy(n=7, load=None):
    """n images of odd sizes; each is a ramp of its own height, and so tells its index."""

    def ramp(index):
        columns = np.arange(6 + index, dtype=np.uint8) + 10 * index
        return np.broadcast_to(columns[None, :, None], (5 + index, 6 + index, 3))

    labels = (np.arange(n) % 3).astype(np.int32)
    return Source("toy", ("a", "b", "c"), labels, load or ramp, "digest")


def train(count, *, n=7, spec=PLAIN, **options):
    """The first `count` batches from `start_step` on."""
    batches = train_batches(toy(n), spec, **{"batch_size": 3, "seed": 0, **options})
    return list(itertools.islice(batches, count))


def column(batches, name="index"):
    return np.concatenate([batch[name] for batch in batches])


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.slow
def test_shapes_and_types():
    (batch,) = train(1)
    assert {name: (x.shape, x.dtype.name) for name, x in batch.items()} == {
        "image": ((3, 4, 4, 3), "float32"),
        "label": ((3,), "int32"),
        "index": ((3,), "int32"),
    }
    assert batch["image"].min() >= 0.0
    assert batch["image"].max() <= 1.0


def test_image_label_and_index_belong_together():
    evaluated = {
        int(i): x
        for b in eval_batches(toy(), PLAIN, batch_size=4)
        for i, x in zip(b["index"], b["image"], strict=True)
    }
    for batch in train(5):
        np.testing.assert_array_equal(batch["label"], batch["index"] % 3)
        for index, image in zip(batch["index"], batch["image"], strict=True):
            np.testing.assert_array_equal(image, evaluated[int(index)])


@pytest.mark.slow
@pytest.mark.parametrize("start_step", [1, 4, 9])
def test_restart_equals_an_uninterrupted_run(start_step):
    whole = train(12, spec=AUGMENTED)
    assert_same(train(12 - start_step, spec=AUGMENTED, start_step=start_step), whole[start_step:])


def test_every_epoch_is_a_permutation_and_each_another():
    epochs = column(train(14)).reshape(6, 7)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(7), (6, 1)))
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_no_bit_of_epoch_and_seed_is_lost():
    n = 20
    numbers = [0, 1, 2**8, 2**16, 2**31]
    orders = [column(train(1, n=n, batch_size=n, start_step=epoch)) for epoch in numbers]
    orders += [column(train(1, n=n, batch_size=n, seed=seed)) for seed in numbers[1:]]
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_batch_larger_than_a_tiny_set(n):
    epochs = column(train(3, n=n, batch_size=8)).reshape(-1, n)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(n), (24 // n, 1)))
    assert n == 1 or len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.slow
def test_seeds_differ():
    first, again, other = (column(train(7, seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.slow
def test_an_example_is_augmented_afresh_in_every_epoch():
    batches = train(10, n=1, spec=AUGMENTED, batch_size=1)
    assert len({batch["image"].tobytes() for batch in batches}) == 10


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_global_batch(processes):
    whole = train(4, spec=AUGMENTED, batch_size=6)
    parts = [
        train(4, spec=AUGMENTED, batch_size=6, rows=rows)
        for rows in np.split(np.arange(6), processes)
    ]
    joined = [
        {name: np.concatenate([part[t][name] for part in parts]) for name in whole[t]}
        for t in range(4)
    ]
    assert_same(joined, whole)


@pytest.mark.parametrize("batch_size", [3, 7, 20])
def test_evaluation_sees_each_example_once_in_order(batch_size):
    batches = list(eval_batches(toy(), PLAIN, batch_size=batch_size))
    sizes = [len(batch["index"]) for batch in batches]
    assert sizes == [batch_size] * (7 // batch_size) + [7 % batch_size] * (7 % batch_size > 0)
    np.testing.assert_array_equal(column(batches), np.arange(7))
    np.testing.assert_array_equal(column(batches, "label"), np.arange(7) % 3)


@pytest.mark.slow
def test_processes_share_an_evaluation():
    shares = [
        list(eval_shares(toy(), AUGMENTED, batch_size=4, rows=rows))
        for rows in (np.array([0, 1]), np.array([2, 3]))
    ]
    assert [batch["index"].tolist() for batch in shares[0]] == [[0, 1], [4, 5]]
    assert [batch["index"].tolist() for batch in shares[1]] == [[2, 3], [6, 6]]
    assert [batch["valid"].tolist() for batch in shares[1]] == [[True, True], [True, False]]
    plain = column(eval_batches(toy(), PLAIN, batch_size=7), "image")
    np.testing.assert_array_equal(column(shares[1], "image"), plain[[2, 3, 6, 6]])


def test_evaluation_is_never_augmented():
    plain = eval_batches(toy(), PLAIN, batch_size=7)
    assert_same(list(eval_batches(toy(), AUGMENTED, batch_size=7)), list(plain))


@pytest.mark.slow
def test_views_differ_and_show_their_example():
    plain = column(eval_batches(toy(), PLAIN, batch_size=7), "image")
    still = list(view_stream(toy(), PLAIN, np.arange(7), views=2, seed=0))
    np.testing.assert_array_equal(np.stack(still), np.stack([plain, plain], axis=1))
    for first, second, third in view_stream(toy(), AUGMENTED, np.arange(7), views=3, seed=0):
        for a, b in itertools.combinations((first, second, third), 2):
            assert np.any(a != b)


@pytest.mark.slow
def test_a_view_hangs_on_seed_view_and_example_alone():
    loads = []

    def load(index):
        loads.append(index)
        return toy().load(index)

    whole = list(view_stream(toy(), AUGMENTED, np.arange(7), views=2, seed=0))
    part = list(view_stream(toy(load=load), AUGMENTED, np.array([5, 2]), views=2, seed=0))
    np.testing.assert_array_equal(np.stack(part), np.stack([whole[5], whole[2]]))
    assert sorted(loads) == [2, 5], "each image is to be decoded once"
    (other,) = view_stream(toy(), AUGMENTED, np.array([5]), views=2, seed=1)
    assert np.any(other != part[0])


def broken(*missing, n=7):
    """The toy source, of which some images have become unreadable."""
    whole = toy(n).load

    def load(index):
        if index in missing:
            raise OSError("photo.jpg is truncated")
        return whole(index)

    return toy(n, load=load)


def test_image_that_cannot_be_read_is_one_sentence_where_all_are_needed():
    stream = view_stream(broken(5), PLAIN, np.arange(7), views=1, seed=0)
    with pytest.raises(UserError, match=r"^toy: example 5 cannot be read: photo.jpg is truncated$"):
        list(stream)


@pytest.mark.slow
def test_image_that_breaks_during_a_run_is_named_once_and_replaced(capsys):
    whole = {int(b["index"][0]): b for b in eval_batches(toy(), PLAIN, batch_size=1)}
    batches = train_batches(broken(5, 6), PLAIN, batch_size=7, seed=0)
    for batch in itertools.islice(batches, 3):
        assert sorted(batch["index"]) == [0, 0, 0, 1, 2, 3, 4]
        for i, index in enumerate(batch["index"]):
            np.testing.assert_array_equal(batch["image"][i], whole[int(index)]["image"][0])
            assert batch["label"][i] == whole[int(index)]["label"][0]
    lines = [line for line in capsys.readouterr().out.splitlines() if "cannot be read" in line]
    assert len(lines) == 2
    reason = "cannot be read: photo.jpg is truncated; it is replaced by the next one"
    assert {line.rsplit(" (", 1)[0] for line in lines} == {
        f"toy: example 5 {reason}",
        f"toy: example 6 {reason}",
    }


def test_a_lost_disk_is_no_bad_file():
    with pytest.raises(UserError, match=r"^toy: example \d+ cannot be read"):
        next(train_batches(broken(*range(20), n=20), PLAIN, batch_size=1, seed=3))
