"""The measuring program: every stage is measured on what the config names."""

import itertools

import pytest

from tests import made
from vpt_gen.config.fields import default_config
from vpt_gen.data import speed


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
