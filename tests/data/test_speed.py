"""The measuring program: every stage is measured on what the config names."""

import hashlib
import itertools

import numpy as np
import pytest

from tests import made
from vpt_gen.config.fields import default_config
from vpt_gen.data import sampled, shards, speed
from vpt_gen.data.folders import checked
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.data.folders.sharded import open_shards
from vpt_gen.images import codec


def test_rate_counts_images_and_not_the_start(monkeypatch):
    now = 0.0

    def batches():
        nonlocal now
        now += 100.0
        yield
        while True:
            now += 0.25
            yield

    monkeypatch.setattr(speed.time, "perf_counter", lambda: now)
    assert speed.rate(batches(), seconds=2.0, images_an_item=5) == 20.0


def test_slow_work_is_measured_at_least_once():
    assert speed.rate(itertools.repeat(None), seconds=0.0) > 0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of images."""
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path / "cache"))
    return made.write_folder(tmp_path / "images")


def test_only_files_that_the_source_kept_are_read(folder, monkeypatch):
    huge = folder / "bars" / "0.png"
    monkeypatch.setattr(checked, "MAX_BYTES", 10_000)
    huge.write_bytes(bytes(20_000))
    whole = open_folder(str(folder))
    source = whole.subset(np.arange(len(whole))[::-2])
    stages = speed.loading_stages(source)
    assert list(stages) == ["reading", "decoding"]
    for index, content in zip(range(len(source)), stages["reading"], strict=False):
        np.testing.assert_array_equal(codec.decode(content), source.load(index))
        np.testing.assert_array_equal(next(stages["decoding"]), source.load(index % 32))


def test_images_in_shards_are_loaded_not_the_pictures_next_to_them(folder, tmp_path):
    images = sorted((folder / "bars").iterdir())[:3]
    names = shards.names_of(3, shard_size=3)
    contents = [image.read_bytes() for image in images]
    shard = shards.pack(dict(zip(names, contents, strict=True)), [0, 0, 0])
    sampled_to = tmp_path / "samples"
    sampled_to.mkdir()
    (sampled_to / "000000.tar").write_bytes(shard)
    (sampled_to / "grid.png").write_bytes(contents[0])
    digests = {"000000.tar": hashlib.sha256(shard).hexdigest()}
    note = sampled.Note(dict.fromkeys(names, "bars"), {}, digests)
    stages = speed.loading_stages(open_shards(str(sampled_to), note))
    assert list(stages) == ["loading"]
    for image, content in zip(stages["loading"], contents, strict=False):
        np.testing.assert_array_equal(image, codec.decode(content))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stages"), [("folder", ["reading", "decoding"]), ("digits", ["loading"])]
)
def test_every_stage_is_in_the_table(kind, stages, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "_CACHED_IMAGES", 2048)
    config = default_config("tokenizer")
    config.batch_size = 8
    config.data.kind = kind
    config.data.path = str(made.write_folder(tmp_path / "images"))
    (tmp_path / "images" / "bars" / "0.png").write_text("broken")
    (tmp_path / "images" / "bars" / ".hidden.png").write_text("broken, too")
    config.data.image_size = 16
    config.data.cache_views = 2
    rates = speed.measure(config, num_tokens=4, seconds=0.05)
    cache, pipeline, *single = rates
    assert cache == "token cache (1,024 random examples, V = 2, N = 4)"
    assert pipeline == "images to 16 px, all cores"
    stages = [*stages, "resizing, augmenting"]
    assert single == [f"one thread: {stage}" for stage in stages]
    assert min(rates.values()) > 0
    assert all(f"| {name} |" in speed.table(rates) for name in rates)
