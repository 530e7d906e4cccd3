"""The token cache as it is read: checked when opened, and replayable batches of it."""

import contextlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from tests import damage
from vpt_gen.data.tokens import shards as token_shards
from vpt_gen.data.tokens.cache import (
    TokenCache,
    eval_token_shares,
    open_cache,
    token_batches,
)
from vpt_gen.errors import UserError


def toy_cache(n=7, views=3, shard=3):
    """Tokens that tell their view and example, 100 * view + example; `shard` examples a shard."""
    records = np.zeros(n, token_shards.record_type(views, 4))
    records["label"] = np.arange(n) % 2
    records["tokens"] = 100 * np.arange(views)[:, None] + np.arange(n)[:, None, None]
    return TokenCache(tuple(records[i : i + shard] for i in range(0, n, shard)))


def write_cache(folder):
    """The toy cache on disk."""
    cache = toy_cache()
    checksums = {}
    for i, shard in enumerate(cache.shards):
        path = folder / f"shard-{i}.tfrecord"
        token_shards.write_shard(path, shard["label"], shard["tokens"])
        checksums[path.name] = token_shards.sha256_of(path)
    manifest = {"views": 3, "tokens": 4, "sha256": checksums}
    (folder / "manifest.json").write_text(json.dumps(manifest))


# Opening and reading it.


@pytest.mark.parametrize("shard", [1, 3, 7, 100])
def test_any_examples_in_any_views(shard):
    cache = toy_cache(shard=shard)
    views, indices = np.array([2, 0, 1, 1, 0]), np.array([6, 0, 3, 3, 5])
    tokens = cache.gather(views, indices)
    assert tokens.dtype == np.uint16
    np.testing.assert_array_equal(tokens, np.tile(100 * views + indices, (4, 1)).T)
    np.testing.assert_array_equal(cache.labels, np.arange(7) % 2)
    assert (len(cache), cache.views) == (7, 3)


def test_what_was_written_is_opened(tmp_path):
    write_cache(tmp_path)
    cache, expected = open_cache(tmp_path), toy_cache()
    views, indices = np.divmod(np.arange(21), 7)
    np.testing.assert_array_equal(cache.gather(views, indices), expected.gather(views, indices))
    np.testing.assert_array_equal(cache.labels, expected.labels)
    assert cache.labels.dtype == np.int32


def test_a_damaged_shard_is_named(tmp_path):
    write_cache(tmp_path)
    path = tmp_path / "shard-1.tfrecord"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"shard-1\.tfrecord is damaged: delete manifest\.json"):
        open_cache(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"shard-1\.tfrecord is missing"):
        open_cache(tmp_path)


@pytest.mark.parametrize("content", [None, "half a mani"])
def test_a_cache_without_a_manifest_is_refused(tmp_path, content):
    if content:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match="not a finished token cache"):
        open_cache(tmp_path)


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_manifest_is_named(tmp_path, kind):
    write_cache(tmp_path)
    damage.apply(tmp_path / "manifest.json", damage.JSON[kind])
    with pytest.raises(UserError) as error:
        open_cache(tmp_path)
    damage.assert_sentence(error, f"{tmp_path} is not a finished", "manifest.json", "start again")


def test_no_flipped_bit_of_a_manifest_changes_tokens(tmp_path):
    write_cache(tmp_path)
    path, expected = tmp_path / "manifest.json", toy_cache()
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            found = open_cache(tmp_path)
            np.testing.assert_array_equal(found.labels, expected.labels)
            assert found.views == expected.views
            np.testing.assert_array_equal(
                found.gather(*np.divmod(np.arange(21), 7)),
                expected.gather(*np.divmod(np.arange(21), 7)),
            )


@pytest.mark.slow
def test_reading_needs_no_tensorflow(tmp_path):
    write_cache(tmp_path)
    code = (
        "import pathlib, sys\n"
        "sys.modules['tensorflow'] = None\n"  # an import of it fails
        "from vpt_gen.data.tokens.cache import open_cache, token_batches\n"
        f"cache = open_cache(pathlib.Path({str(tmp_path)!r}))\n"
        "print(next(token_batches(cache, batch_size=3, seed=0))['tokens'].shape)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "(3, 4)\n", run.stderr


# Training and evaluating on it.


def train(count, *, cache=None, batch_size=3, seed=0, start_step=0, process=0, processes=1):
    batches = token_batches(
        cache or toy_cache(),
        batch_size=batch_size,
        seed=seed,
        start_step=start_step,
        rows=np.split(np.arange(batch_size), processes)[process],
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


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("batch_size", [4, 12])
def test_processes_share_the_global_batch(processes, batch_size):
    whole = train(6, batch_size=batch_size)
    # Resumed on other hosts: the last three updates.
    parts = [
        train(3, batch_size=batch_size, start_step=3, process=p, processes=processes)
        for p in range(processes)
    ]
    for t, expected in enumerate(whole[3:]):
        for name, rows in expected.items():
            joined = np.concatenate([part[t][name] for part in parts])
            np.testing.assert_array_equal(joined, rows)


def test_the_order_does_not_hang_on_the_shards():
    by_2, by_7 = (train(9, cache=toy_cache(shard=shard)) for shard in (2, 7))
    for name in ("tokens", "label", "index"):
        np.testing.assert_array_equal(column(by_2, name), column(by_7, name))


@pytest.mark.parametrize("batch_size", [3, 7, 20])
def test_evaluation_sees_the_first_view_once_in_order(batch_size):
    batches = list(
        eval_token_shares(toy_cache(), batch_size=batch_size, rows=np.arange(batch_size))
    )
    assert all(len(batch["index"]) == batch_size for batch in batches)
    batches = [{k: v[batch["valid"]] for k, v in batch.items()} for batch in batches]
    np.testing.assert_array_equal(column(batches), np.arange(7))
    np.testing.assert_array_equal(column(batches, "tokens")[:, 0], np.arange(7))
    np.testing.assert_array_equal(column(batches, "label"), np.arange(7) % 2)
