"""The token cache: made once for each combination of inputs, whole or not at all; replayable."""

import dataclasses
import itertools

import numpy as np
import pytest

from vpt_gen.data import tokens
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source
from vpt_gen.data.tokens import TokenCache, build_cache, eval_token_batches, token_batches

PLAIN = ImageSpec(4, "crop")
AUGMENTED = ImageSpec(4, "crop", Augmentation(rotation=90.0, shift=0.5))


class Tokenizer:
    """Each 2x2 block's upper left pixel is its token; counts the calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        assert images.shape == (3, 4, 4, 3), "the last batch must be padded"
        return np.round(images[:, ::2, ::2, 0] * 255).astype(np.int32)


def pixels(index):
    return np.random.default_rng(index).integers(0, 256, (4, 4, 3), np.uint8)


def toy(n=7, digest="digest"):
    return Source("toy", ("a", "b"), (np.arange(n) % 2).astype(np.int32), pixels, digest)


def build(folder, tokenize, *, source=None, spec=PLAIN, digest="tokenizer", views=1, seed=0):
    return build_cache(
        source or toy(),
        spec,
        tokenize,
        tokenizer_digest=digest,
        views=views,
        batch_size=3,
        seed=seed,
        folder=str(folder),
    )


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_same(first, second):
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.labels, second.labels)


# Making the cache.


def test_tokens_of_every_example_in_order(tmp_path):
    cache = build(tmp_path, Tokenizer())
    assert len(cache) == 7
    assert cache.tokens.dtype == np.uint16
    expected = np.stack([pixels(i)[::2, ::2, 0].ravel() for i in range(7)])
    np.testing.assert_array_equal(cache.tokens, expected[None])
    np.testing.assert_array_equal(cache.labels, toy().labels)


def test_second_time_it_is_read(tmp_path):
    tokenize = Tokenizer()
    made = build(tmp_path / "new" / "folder", tokenize)
    assert tokenize.calls == 3
    assert_same(build(tmp_path / "new" / "folder", tokenize), made)
    assert tokenize.calls == 3


@pytest.mark.parametrize(
    "change",
    [
        {"source": toy(digest="other")},
        {"spec": dataclasses.replace(AUGMENTED, fit="pad")},
        {"spec": ImageSpec(4, "crop", Augmentation(rotation=45.0))},
        {"digest": "other"},
        {"views": 3},
        {"seed": 1},
    ],
    ids=["data", "fit", "augmentation", "tokenizer", "views", "seed"],
)
def test_every_input_is_in_the_key(tmp_path, change):
    tokenize = Tokenizer()
    arguments = {"spec": AUGMENTED, "views": 2}
    build(tmp_path, tokenize, **arguments)
    calls = tokenize.calls
    build(tmp_path, tokenize, **{**arguments, **change})
    assert tokenize.calls > calls
    assert len(files(tmp_path)) == 2


def test_views_differ_under_augmentation(tmp_path):
    cache = build(tmp_path, Tokenizer(), spec=AUGMENTED, views=3)
    assert cache.tokens.shape == (3, 7, 4)
    for a, b in itertools.combinations(cache.tokens, 2):
        assert np.all(np.any(a != b, axis=-1))


def test_without_augmentation_one_view_is_all(tmp_path):
    tokenize = Tokenizer()
    one = build(tmp_path, tokenize, views=1)
    assert_same(build(tmp_path, tokenize, views=5), one)
    assert one.tokens.shape == (1, 7, 4)
    assert tokenize.calls == 3


def test_failure_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def fill_the_disk(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(tokens.np, "savez_compressed", fill_the_disk)
        with pytest.raises(OSError, match="disk full"):
            build(tmp_path, Tokenizer())
    assert files(tmp_path) == []
    tokenize = Tokenizer()
    build(tmp_path, tokenize)
    assert tokenize.calls == 3


def test_failure_while_tokenising_leaves_nothing(tmp_path):
    def fail(images):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        build(tmp_path / "tokens", fail)
    assert not (tmp_path / "tokens").exists()


def test_file_of_a_killed_run_is_not_picked_up(tmp_path):
    made = build(tmp_path, Tokenizer())
    (whole,) = tmp_path.iterdir()
    whole.rename(whole.with_suffix(".partial1"))
    (tmp_path / whole.with_suffix(".partial1")).write_bytes(b"half")
    tokenize = Tokenizer()
    assert_same(build(tmp_path, tokenize), made)
    assert tokenize.calls == 3


# Training and evaluating on it.


def toy_cache(n=7, views=3):
    """Tokens that tell their view and example: 100 * view + example."""
    labels = (np.arange(n) % 2).astype(np.int32)
    values = 100 * np.arange(views)[:, None, None] + np.arange(n)[None, :, None]
    return TokenCache(np.tile(values, 4).astype(np.uint16), labels)


def train(count, *, cache=None, batch_size=3, seed=0, start_step=0):
    batches = token_batches(
        cache or toy_cache(), batch_size=batch_size, seed=seed, start_step=start_step
    )
    return list(itertools.islice(batches, count))


def column(batches, name="index"):
    return np.concatenate([batch[name] for batch in batches])


def test_shapes_and_types():
    (batch,) = train(1)
    assert {name: (x.shape, x.dtype.name) for name, x in batch.items()} == {
        "tokens": ((3, 4), "uint16"),
        "label": ((3,), "int32"),
        "index": ((3,), "int32"),
    }


def test_tokens_label_and_index_belong_together():
    for batch in train(9):
        np.testing.assert_array_equal(batch["tokens"] % 100, np.tile(batch["index"], (4, 1)).T)
        np.testing.assert_array_equal(batch["label"], batch["index"] % 2)


def test_every_epoch_is_a_permutation_and_each_another():
    epochs = column(train(14)).reshape(6, 7)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(7), (6, 1)))
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_every_view_is_used_evenly():
    views = column(train(210), "tokens")[:, 0] // 100
    np.testing.assert_allclose(np.bincount(views) / len(views), np.full(3, 1 / 3), atol=0.08)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_batch_larger_than_a_tiny_set(n):
    epochs = column(train(3, cache=toy_cache(n), batch_size=8)).reshape(-1, n)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(n), (24 // n, 1)))


@pytest.mark.parametrize("start_step", [1, 4, 9])
def test_restart_equals_an_uninterrupted_run(start_step):
    restarted, whole = train(12 - start_step, start_step=start_step), train(12)[start_step:]
    for name in ("tokens", "label", "index"):
        np.testing.assert_array_equal(column(restarted, name), column(whole, name))


def test_seeds_differ():
    first, again, other = (column(train(7, seed=seed), "tokens") for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_processes_share_the_global_batch(monkeypatch):
    whole = train(5, batch_size=6)
    monkeypatch.setattr(tokens.jax, "process_count", lambda: 2)
    parts = []
    for process in range(2):
        monkeypatch.setattr(tokens.jax, "process_index", lambda p=process: p)
        parts.append(train(5, batch_size=6))
    for name in ("tokens", "label", "index"):
        for t in range(5):
            joined = np.concatenate([part[t][name] for part in parts])
            np.testing.assert_array_equal(joined, whole[t][name])


@pytest.mark.parametrize("batch_size", [3, 7, 20])
def test_evaluation_sees_the_first_view_once_in_order(batch_size):
    batches = list(eval_token_batches(toy_cache(), batch_size=batch_size))
    assert all(len(batch["index"]) == batch_size for batch in batches[:-1])
    np.testing.assert_array_equal(column(batches), np.arange(7))
    np.testing.assert_array_equal(column(batches, "tokens")[:, 0], np.arange(7))
    np.testing.assert_array_equal(column(batches, "label"), np.arange(7) % 2)
