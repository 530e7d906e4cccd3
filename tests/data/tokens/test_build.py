"""Making the token cache: the same bytes however often it is interrupted and whoever shares it."""

import dataclasses
import itertools
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.programs import ROOT, environment
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source
from vpt_gen.data.tokens.build import CacheBuild
from vpt_gen.errors import UserError
from vpt_gen.images import codec

PLAIN = ImageSpec(4, "crop")
AUGMENTED = ImageSpec(4, "crop", Augmentation(rotation=90.0, shift=0.5))


class Tokenizer:
    """Each 2x2 block's upper left pixel is its token; counts the images that are not blank."""

    def __init__(self, seconds=0.0):
        self.images = 0
        self.seconds = seconds

    def __call__(self, images):
        assert images.shape == (5, 4, 4, 3), "every batch must be full"
        time.sleep(self.seconds)
        self.images += np.sum(np.any(images != 0, axis=(1, 2, 3)))
        return np.round(images[:, ::2, ::2, 0] * 255).astype(np.int32)


def pixels(index):
    return np.random.default_rng(index).integers(1, 256, (4, 4, 3), np.uint8)


def toy(n=7, load=pixels, digest="digest"):
    return Source("toy", ("a", "b"), (np.arange(n) % 2).astype(np.int32), load, digest)


def build(root, tokenize=None, **changes):
    """A build of seven examples in shards of three (or of one, where there are two views)."""
    arguments = {
        "source": toy(),
        "spec": PLAIN,
        "tokenizer_digest": "tokenizer",
        "cache_views": 1,
        "batch_size": 5,
        "seed": 0,
        "shard_images": 3,
        **changes,
    }
    return CacheBuild(tokenize=tokenize or Tokenizer(), root=str(root), **arguments)


def all_tokens(cache):
    """(V, n, N)."""
    views, indices = np.divmod(np.arange(cache.views * len(cache)), len(cache))
    return cache.gather(views, indices).reshape(cache.views, len(cache), -1)


def contents(root):
    """Path -> bytes of all files."""
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("spec", "views", "told"), [(PLAIN, 1, False), (AUGMENTED, 1, True), (AUGMENTED, 2, False)]
)
def test_one_view_of_augmented_images_is_said(spec, views, told, tmp_path, capsys):
    build(tmp_path, spec=spec, cache_views=views).cache()
    assert ("All epochs see the same" in capsys.readouterr().out) == told


@pytest.mark.slow
def test_tokens_of_every_example_in_order(tmp_path):
    cache = build(tmp_path).cache()
    expected = np.stack([pixels(i)[::2, ::2, 0].ravel() for i in range(7)])
    np.testing.assert_array_equal(all_tokens(cache), expected[None])
    np.testing.assert_array_equal(cache.labels, toy().labels)
    assert [len(shard) for shard in cache.shards] == [3, 3, 1]


@pytest.mark.slow
def test_second_time_it_is_read(tmp_path):
    tokenize = Tokenizer()
    made = build(tmp_path / "new" / "folder", tokenize).cache()
    assert tokenize.images == 7
    again = build(tmp_path / "new" / "folder", tokenize).cache()
    np.testing.assert_array_equal(all_tokens(again), all_tokens(made))
    assert tokenize.images == 7


@pytest.mark.parametrize(
    "change",
    [
        {"source": toy(digest="other")},
        {"spec": dataclasses.replace(AUGMENTED, fit="pad")},
        {"spec": ImageSpec(4, "crop", Augmentation(rotation=45.0))},
        {"tokenizer_digest": "other"},
        {"cache_views": 3},
        {"seed": 1},
    ],
    ids=["data", "fit", "augmentation", "tokenizer", "views", "seed"],
)
def test_every_input_is_in_the_key(tmp_path, change):
    original = {"spec": AUGMENTED, "cache_views": 2}
    assert build(tmp_path, **original).folder == build(tmp_path, **original).folder
    assert build(tmp_path, **original).folder != build(tmp_path, **{**original, **change}).folder


def test_views_that_were_once_blurred_have_another_cache(tmp_path):
    def preprocessing(**options):
        spec = ImageSpec(4, "crop", Augmentation(**options))
        return build(tmp_path, spec=spec).made_from["preprocessing"], repr(spec)

    for options in ({}, {"flip": True}):
        noted, plain = preprocessing(**options)
        assert noted == plain
    noted, plain = preprocessing(shift=0.2)
    assert noted == f"{plain}, shifted by whole pixels"
    noted, plain = preprocessing(shift=0.2, rotation=5.0)
    assert noted == f"{plain}, resampled by cubic and Lanczos kernels"


@pytest.mark.slow
def test_images_that_are_decoded_in_another_way_have_another_cache(tmp_path, monkeypatch):
    before = build(tmp_path).folder
    monkeypatch.setattr(codec, "DECODER", codec.DECODER + 1)
    assert build(tmp_path).folder != before


def test_views_differ_and_hang_on_view_and_example_alone(tmp_path):
    small, large = (
        all_tokens(build(tmp_path / name, spec=AUGMENTED, cache_views=3, shard_images=s).cache())
        for name, s in (("small", 3), ("large", 100))
    )
    np.testing.assert_array_equal(small, large)
    assert small.shape == (3, 7, 4)
    for a, b in itertools.combinations(small, 2):
        assert np.all(np.any(a != b, axis=-1))


def test_without_augmentation_one_view_is_all(tmp_path):
    tokenize = Tokenizer()
    one = build(tmp_path, tokenize, cache_views=1).cache()
    five = build(tmp_path, tokenize, cache_views=5).cache()
    assert one.views == five.views == 1
    assert tokenize.images == 7


def test_large_caches_have_larger_shards(tmp_path):
    sizes = [len(r) for r in build(tmp_path, source=toy(4321)).shards.values()]
    assert len(sizes) <= 1000 and sum(sizes) == 4321
    assert set(sizes[:-1]) == {5}


# However it comes about, the same bytes.


@pytest.mark.slow
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_hosts_make_the_folder_of_one(tmp_path, order):
    options = {"spec": AUGMENTED, "cache_views": 2}
    build(tmp_path / "one", **options).cache()
    work = {}
    for process in order:
        work[process] = Tokenizer()
        build(tmp_path / "two", work[process], **options).make_shards(process, 2)
    assert [work[p].images for p in (0, 1)] == [8, 6]
    build(tmp_path / "two", **options).finish()
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


@pytest.mark.slow
def test_two_programs_that_build_one_cache_take_turns(tmp_path, capsys):
    """The second starts while the first is at its first shard."""
    started, caches, second = threading.Event(), [], Tokenizer()

    class Slow(Tokenizer):
        def __call__(self, images):
            started.set()
            deadline = time.monotonic() + 5
            while "Waiting for" not in capsys.readouterr().out and time.monotonic() < deadline:
                time.sleep(0.01)
            return super().__call__(images)

    first = Slow()
    thread = threading.Thread(target=lambda: caches.append(build(tmp_path, first).cache()))
    thread.start()
    assert started.wait(60)
    caches.append(build(tmp_path, second).cache())
    thread.join()
    assert (first.images, second.images) == (7, 0)
    for cache in caches:
        np.testing.assert_array_equal(cache.labels, toy().labels)
    assert not list(tmp_path.rglob(".lock"))


def test_hosts_without_a_shared_folder_are_told(tmp_path):
    alone = build(tmp_path)
    alone.make_shards(0, 2)
    with pytest.raises(UserError, match=r"shard-00001-of-00003.*config\.data\.cache_dir"):
        alone.finish()
    assert not (alone.folder / "manifest.json").exists()


@pytest.mark.slow
def test_only_damaged_shards_are_made_anew(tmp_path):
    build(tmp_path / "whole").cache()
    damaged = build(tmp_path / "damaged")
    damaged.cache()
    (path, *_) = damaged.shards
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=f"{path.name} is damaged: delete manifest.json"):
        damaged.cache()
    (damaged.folder / "manifest.json").unlink()
    tokenize = Tokenizer()
    build(tmp_path / "damaged", tokenize).cache()
    assert tokenize.images == 3
    assert contents(tmp_path / "damaged") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_an_unreadable_image_is_one_sentence_and_keeps_what_is_done(tmp_path):
    def load(index):
        if index == 6:
            raise OSError("photo.jpg is truncated")
        return pixels(index)

    broken = build(tmp_path, source=toy(load=load))
    with pytest.raises(UserError, match="toy: example 6 cannot be read: photo.jpg is truncated"):
        broken.cache()
    assert not (broken.folder / "manifest.json").exists()
    assert build(tmp_path).cache().labels.shape == (7,)


def test_failure_while_tokenizing_leaves_nothing(tmp_path):
    def fail(images):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        build(tmp_path / "tokens", fail).cache()
    assert not (tmp_path / "tokens").exists()


LARGE = {"source": toy(60), "spec": AUGMENTED, "cache_views": 2, "shard_images": 10}


@pytest.mark.slow
def test_a_killed_build_goes_on_to_the_same_bytes(tmp_path):
    code = (
        "from tests.data.tokens.test_build import LARGE, Tokenizer, build\n"
        f"build({str(tmp_path / 'killed')!r}, Tokenizer(seconds=0.2), **LARGE).cache()\n"
    )
    killed = build(tmp_path / "killed", **LARGE)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment())
    try:
        deadline = time.monotonic() + 600
        while len(list(killed.folder.glob("*.sha256"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(list(killed.folder.glob("*.sha256")))
    assert 2 <= done < 12 and not (killed.folder / "manifest.json").exists()

    tokenize = Tokenizer()
    build(tmp_path / "killed", tokenize, **LARGE).cache()
    assert tokenize.images == 120 - 10 * done
    build(tmp_path / "whole", **LARGE).cache()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
