"""Shards on disk: any number of them needs few file descriptors."""

import json
import os
import resource

import numpy as np
import pytest

from vpt_gen.data.tokens import mapped, shards
from vpt_gen.data.tokens.cache import open_cache, token_batches
from vpt_gen.errors import UserError


def write_cache(folder, count):
    """`count` shards of two examples, one view and three tokens, all of the example's number."""
    checksums = {}
    for i in range(count):
        path, numbers = folder / f"{i}.tfrecord", np.array([2 * i, 2 * i + 1])
        records = np.zeros(2, shards.record_type(1, 3))
        records["length"], records["label"] = 4 + 2 * 3, numbers
        records["tokens"] = numbers[:, None, None]
        records.tofile(path)
        checksums[path.name] = shards.sha256_of(path)
    manifest = {"views": 1, "tokens": 3, "sha256": checksums}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def few_files():
    """A process that can open only a few hundred files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = len(os.listdir("/dev/fd")) + 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, soft), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_caches_of_more_shards_than_files_can_be_open(tmp_path, few_files):
    write_cache(tmp_path, 400)
    train, held_out = open_cache(tmp_path), open_cache(tmp_path)
    for cache in (train, held_out):
        np.testing.assert_array_equal(cache.labels, np.arange(800))
        batch = next(token_batches(cache, batch_size=800, seed=0))
        assert sorted(batch["index"]) == list(range(800))
        np.testing.assert_array_equal(batch["tokens"], np.tile(batch["index"], (3, 1)).T)


def test_a_small_cache_stays_open_without_its_files(tmp_path):
    write_cache(tmp_path, 3)
    cache = open_cache(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    np.testing.assert_array_equal(cache.labels, np.arange(6))


@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b"other")])
def test_a_shard_that_is_lost_during_a_run_is_named(tmp_path, monkeypatch, harm):
    monkeypatch.setattr(mapped, "MOST_OPEN", 2)
    write_cache(tmp_path, 3)
    cache = open_cache(tmp_path)
    harm(tmp_path / "0.tfrecord")
    with pytest.raises(UserError, match=r"0\.tfrecord cannot be opened again: .*; start again"):
        cache.gather(np.array([0]), np.array([0]))
