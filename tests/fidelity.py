"""`python -m tests.fidelity`: the same two folders of images through us and PyPI `torch-fidelity`.

Both read the same PNG files, of tiles of photographs, and the same file of random weights for the
Inception net, since the published one may not be at hand. Prints each figure of both, and how far
they are apart. torch-fidelity runs in an environment of its own, whose program is named:

    python -m venv other && other/bin/pip install torch torch-fidelity
    python -m tests.fidelity --program=other/bin/fidelity

Not collected by pytest: minutes.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image
from skimage import data

from tests.feature_speed import write_random_weights
from vpt_gen.data.folders import opening as image_folder
from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Extractor, inception_space
from vpt_gen.machine import sharding

PHOTOGRAPHS = ("astronaut", "coffee", "cat", "rocket", "immunohistochemistry")
TILE = (48, 64)  # pixels, not square: both sides are resized
STRIDE = 32
# torch-fidelity's name of a figure -> ours.
FIGURES = {
    "frechet_inception_distance": "FID",
    "kernel_inception_distance_mean": "KID mean",
    "kernel_inception_distance_std": "KID std",
    "inception_score_mean": "IS mean",
    "inception_score_std": "IS std",
    "precision": "precision",
    "recall": "recall",
}


def write_tiles(folder: pathlib.Path, half: int, count: int) -> None:
    """Writes tiles of the left (0) or the right (1) halves of photographs, evenly drawn."""
    tiles = []
    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        middle = photograph.shape[1] // 2
        side = photograph[:, half * middle : (half + 1) * middle]
        for top in range(0, side.shape[0] - TILE[0] + 1, STRIDE):
            for left in range(0, side.shape[1] - TILE[1] + 1, STRIDE):
                tiles.append(side[top : top + TILE[0], left : left + TILE[1]])
    folder.mkdir()
    for number, i in enumerate(np.linspace(0, len(tiles) - 1, count).astype(int)):
        Image.fromarray(tiles[i]).save(folder / f"{number:05d}.png")


def ours(folders: list[pathlib.Path], weights: pathlib.Path, subset_size: int) -> dict[str, float]:
    extractor = Extractor(inception_space(weights), sharding.make_mesh(), batch_size=32)
    a, b = (extract(extractor, folder) for folder in folders)
    kid = distances.kid(a.rows["2048"], b.rows["2048"], subset_size=subset_size)
    score = distances.inception_score(a.rows["logits_unbiased"])
    shares = distances.precision_recall(a.rows["2048"], b.rows["2048"])
    fid = distances.frechet_from_moments(*a.moments["2048"], *b.moments["2048"])
    return dict(zip(FIGURES.values(), (fid, *kid, *score, *shares), strict=True))


def extract(extractor: Extractor, folder: pathlib.Path):
    source = image_folder.open_folder(str(folder))
    images = (source.load(i) for i in range(len(source)))
    return extractor.collect(
        extractor.stream(images),
        moments=["2048"],
        keep=["2048", "logits_unbiased"],
        total=len(source),
    )


def theirs(
    program: str, folders: list[pathlib.Path], weights: pathlib.Path, subset_size: int
) -> dict[str, float]:
    command = [program, "--cpu", "--json", "--silent", "--no-cache", "--fid", "--kid", "--isc"]
    command += ["--prc", "--input1", str(folders[0]), "--input2", str(folders[1])]
    # Precision and recall it would take in features of VGG16.
    command += ["--feature-extractor", "inception-v3-compat", "--feature-layer-prc", "2048"]
    command += ["--feature-extractor-weights-path", str(weights)]
    command += ["--kid-subset-size", str(subset_size)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(answer.stdout[answer.stdout.index("{") :])
    return {name: found[key] for key, name in FIGURES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="torch-fidelity's `fidelity`")
    parser.add_argument("--count", type=int, default=256, help="images a folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        folders = [scratch / "left", scratch / "right"]
        for half, folder in enumerate(folders):
            write_tiles(folder, half, args.count)
        write_random_weights(scratch / "weights.pth")
        inputs = folders, scratch / "weights.pth", args.count // 2
        a, b = ours(*inputs), theirs(args.program, *inputs)
    print(f"{'':12}{'vpt_gen':>16}{'torch-fidelity':>16}{'relative':>12}")
    for name in FIGURES.values():
        apart = abs(a[name] - b[name]) / max(abs(b[name]), 1e-12)
        print(f"{name:12}{a[name]:16.8g}{b[name]:16.8g}{apart:12.1e}")


if __name__ == "__main__":
    main()
