"""`python -m tests.feature_speed`: how fast Inception features are taken on this machine.

Prints images per second of the extractor, its operations a second as a share of what plain
convolutions and matrix products reach in the same run, and, with `--torch_python` naming the Python
of an environment that has `torch-fidelity`, the ratio to that on the same images and weights:

    python -m venv other && other/bin/pip install torch torch-fidelity
    python -m tests.feature_speed --torch_python=other/bin/python

Not collected by pytest: minutes.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from tests import golden_metrics, torch_files
from vpt_gen.checkpoints import inception as weights
from vpt_gen.checkpoints.released import layout
from vpt_gen.evaluation.distances import frechet
from vpt_gen.evaluation.features import Extractor, inception_space
from vpt_gen.machine import sharding
from vpt_gen.nets.inception import SIDE, InceptionV3

OTHER = pathlib.Path(__file__).with_name("feature_speed_torch.py")


def write_random_weights(path: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    shapes = weights._torch_shapes(layout.param_shapes(InceptionV3(), layout.image_batch(SIDE)))
    draw = golden_metrics.draw
    torch_files.write_legacy(path, {n: draw(n, shape, random) for n, shape in shapes.items()})


def fastest(run: Callable, times: int = 3) -> float:
    """Seconds of the fastest of several runs, after one that is not counted."""
    jax.block_until_ready(run())
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def product_rate(side: int = 4096) -> float:
    """FLOP/s of a matrix product in float32."""
    a = jnp.ones((side, side))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    return 2 * side**3 / fastest(lambda: product(a))


def convolution_rate(batch: int) -> float:
    """FLOP/s of the kind of convolution that Inception has most of: 3x3 on 35x35 places."""
    x, kernel = jnp.ones((batch, 35, 35, 192)), jnp.ones((3, 3, 192, 192))
    convolve = jax.jit(
        lambda x, kernel: jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )
    )
    flops = 2 * batch * 33 * 33 * 192 * 192 * 9
    return flops / fastest(lambda: convolve(x, kernel))


def flops_an_image(extractor: Extractor) -> float:
    images = jnp.zeros((extractor.batch_size, SIDE, SIDE, 3))
    apply = jax.jit(extractor.space.apply)
    compiled = apply.lower(extractor.space.params, images).compile()
    return compiled.cost_analysis()["flops"] / extractor.batch_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=128, help="images")
    parser.add_argument("--side", type=int, default=256, help="pixels a side of the images")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--torch_python", default="", help="Python that has torch-fidelity")
    args = parser.parse_args()
    shape = (args.count, args.side, args.side, 3)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    # The second half is smoother than the first, so that there is a distance between them.
    half = args.count // 2
    images[half:, :, 1:] = images[half:, :, :-1] // 2 + images[half:, :, 1:] // 2

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_random_weights(folder / "weights.pth")
        extractor = Extractor(
            inception_space(folder / "weights.pth"), sharding.make_mesh(), args.batch_size
        )
        seconds = fastest(lambda: list(extractor.stream(images)), times=2)
        ours = np.concatenate([batch["2048"] for batch in extractor.stream(images)])
        flops = flops_an_image(extractor)
        rates = {"product": product_rate(), "convolution": convolution_rate(args.batch_size)}
        print(f"devices: {len(jax.devices())} x {jax.devices()[0].device_kind}")
        print(f"images: {args.count} of {args.side}x{args.side}, batches of {args.batch_size}")
        print(f"features: {args.count / seconds:.2f} images/s, {flops / 1e9:.2f} GFLOP an image")
        for name, rate in rates.items():
            share = flops * args.count / seconds / rate
            print(f"plain {name}: {rate / 1e9:.0f} GFLOP/s, of which features reach {share:.0%}")
        if args.torch_python:
            np.save(folder / "images.npy", images.transpose(0, 3, 1, 2))
            command = [args.torch_python, str(OTHER), str(folder), str(args.batch_size)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            compare(json.loads(answer.stdout), np.load(folder / "features.npy"), ours, seconds)


def compare(theirs: dict, their_features: np.ndarray, ours: np.ndarray, seconds: float) -> None:
    count, half = len(ours), len(ours) // 2
    print(f"{theirs['versions']}: {count / theirs['seconds']:.2f} images/s")
    print(f"ratio ours to theirs: {theirs['seconds'] / seconds:.2f}")
    difference = np.abs(ours - their_features).max()
    print(f"largest difference of a feature: {difference:.1e} of {their_features.max():.1f}")
    a, b = (frechet(f[:half], f[half:]) for f in (ours, their_features))
    print(f"distance of the halves: {a:.8g} ours, {b:.8g} theirs ({abs(a / b - 1):.1e} relative)")


if __name__ == "__main__":
    main()
