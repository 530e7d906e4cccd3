"""`python -m vpt_gen.data.speed --config=configs/folder.py --config.data.path=my_images`.

Measures how fast the input pipeline is: from a token cache, from the config's images, and in the
stages of the latter. Needs no backbone. If images come faster than training steps use them, a token
cache saves only the tokenizer's time; otherwise it also saves waiting.
"""

from __future__ import annotations

import itertools
import pathlib
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.config import flag
from vpt_gen.data.lazy import tf
from vpt_gen.images import codec as images
from vpt_gen.machine import later
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, NotNegative

with later.imports(globals()):
    from vpt_gen.config.check import check_config
    from vpt_gen.data.batches import image_batches, image_spec, open_sources
    from vpt_gen.data.folders.checked import read_file
    from vpt_gen.data.pipeline import ImageSpec, prepare
    from vpt_gen.data.source import Source
    from vpt_gen.data.tokens import shards as token_shards
    from vpt_gen.data.tokens.cache import TokenCache, token_batches
    from vpt_gen.data.tokens.mapped import MappedShards

_CACHED_IMAGES = 2**16
_SHARD_IMAGES = 1024
_DECODED = 32  # images to measure the stage after decoding on


def rate(items: Iterator, seconds: float, images_an_item: int = 1) -> float:
    """Measures the images per second of an endless iterator, after its first batch."""
    next(items)
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or not count:
        next(items)
        count += images_an_item
    return count / elapsed


def random_cache(folder: pathlib.Path, views: int, num_tokens: int) -> TokenCache:
    """Makes a cache of random tokens, in shards on disk like a real one."""
    generator = np.random.default_rng(0)
    examples = max(1, _SHARD_IMAGES // views)
    paths = [folder / f"{i}.tfrecord" for i in range(_CACHED_IMAGES // _SHARD_IMAGES)]
    for path in paths:
        tokens = generator.integers(0, 1024, (examples, views, num_tokens), np.uint16)
        token_shards.write_shard(path, np.zeros(examples, np.int32), tokens)
    return TokenCache(MappedShards(paths, views, num_tokens))


def loading_stages(source: Source) -> dict[str, Iterator]:
    """Returns stages: name -> endless work on one image after another, in this thread."""
    indices = range(len(source))
    if source.file is None:
        return {"loading": map(source.load, itertools.cycle(indices))}
    encoded = [read_file(source.file(index)) for index in indices[:_DECODED]]
    return {
        "reading": map(read_file, map(source.file, itertools.cycle(indices))),
        "decoding": map(images.decode, itertools.cycle(encoded)),
    }


def preparing(decoded: list[np.ndarray], spec: ImageSpec) -> Iterator[np.ndarray]:
    """Resizes and augments one image after another without end, on one thread."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    dataset = tf.data.Dataset.from_generator(
        lambda: itertools.cycle(decoded),
        output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
    )

    @tf.autograph.experimental.do_not_convert
    def prepared(position, image):
        return prepare(image, spec, 0, position)

    return dataset.enumerate().map(prepared).with_options(options).as_numpy_iterator()


def measure(config: ConfigDict, num_tokens: int, seconds: float) -> dict[str, float]:
    """Measures each part of the pipeline for about `seconds`: name -> images per second."""
    source, _ = open_sources(config)
    spec = image_spec(config.data)
    batch_size, views = config.batch_size, config.data.cache_views
    say(f"Measuring on {len(source)} images of {source.name}, {seconds:g} s each.")
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = random_cache(pathlib.Path(folder), views, num_tokens)
        batches = token_batches(cache, batch_size=batch_size, seed=0)
        label = f"token cache ({len(cache):,} random examples, V = {views}, N = {num_tokens})"
        rates[label] = rate(batches, seconds, batch_size)
    train_batches, _ = image_batches(config, source, None, np.arange(batch_size))
    rates[f"images to {spec.size} px, all cores"] = rate(train_batches(0), seconds, batch_size)
    for name, work in loading_stages(source).items():
        rates[f"one thread: {name}"] = rate(work, seconds)
    decoded = [source.load(i) for i in range(min(_DECODED, len(source)))]
    rates["one thread: resizing, augmenting"] = rate(preparing(decoded, spec), seconds)
    return rates


def table(rates: dict[str, float]) -> str:
    """Formats the rates as a Markdown table."""
    rows = [
        f"| {name} | {x:,.{0 if x >= 10 else 2}f} | {1000 / x:,.3f} |" for name, x in rates.items()
    ]
    return "\n".join(["| source | images/s | ms per image |", "|---|---:|---:|", *rows])


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flag.define()
    define_number("num_tokens", 256, Count, "N of the token cache; 256 is MaskGIT's at 256 px.")
    define_number("seconds", 5.0, NotNegative, "Approximate time to measure each.")


def main():
    """Runs the program; its flags are parsed."""
    config = flags.FLAGS.config
    check_config(config)
    print(table(measure(config, flags.FLAGS.num_tokens, flags.FLAGS.seconds)))


if __name__ == "__main__":
    cli.run(main, define_flags)
