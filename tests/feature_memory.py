"""`python -m tests.feature_memory`: the memory that a pass over 50,000 images takes.

The images are drawn as they are needed, and the features are random projections as wide as
Inception's, so that what is measured is the stream, the moments and the rows kept, not the net.
Prints the process's memory as the pass goes on: flat once the most rows are kept.

Not collected by pytest: a minute.
"""

import argparse
import resource

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.evaluation.features import Extractor, FeatureSpace
from vpt_gen.machine import sharding
from vpt_gen.nets import resize
from vpt_gen.nets.inception import FEATURES

SIDE = 4


def wide_space() -> FeatureSpace:
    keys = jax.random.split(jax.random.key(0), 2)
    dims = {"2048": FEATURES["2048"], "logits_unbiased": FEATURES["logits_unbiased"]}
    params = {
        name: jax.random.normal(key, (SIDE * SIDE * 3, width))
        for key, (name, width) in zip(keys, dims.items(), strict=True)
    }
    return FeatureSpace(
        name="projections",
        digest="",
        dims=dims,
        main="2048",
        near="2048",
        classes="2048",
        resize="",
        params=params,
        prepare=lambda images, sizes: resize.antialiased(images, sizes, SIDE) / 255.0,
        apply=lambda params, x: {n: jnp.tanh(x.reshape(len(x), -1) @ p) for n, p in params.items()},
    )


def images(count: int, every: int):
    """Yields images, and prints the memory between them."""
    random = np.random.default_rng(0)
    for i in range(count):
        if i % every == 0:
            print(
                f"{i:7,} images: {resident():6,.0f} MB now, {peak():6,.0f} MB at most", flush=True
            )
        yield random.integers(0, 256, (32, 32, 3), np.uint8)


def resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--max_kept", type=int, default=10_000, help="rows kept at most")
    args = parser.parse_args()
    extractor = Extractor(wide_space(), sharding.make_mesh())
    found = extractor.collect(
        extractor.stream(images(args.count, args.count // 10)),
        moments=["2048"],
        keep=["2048", "logits_unbiased"],
        max_kept=args.max_kept,
        total=args.count,
    )
    print(f"{found.count:7,} images: {resident():6,.0f} MB now, {peak():6,.0f} MB at most")


if __name__ == "__main__":
    main()
