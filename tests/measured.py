"""What tests of figures share: a feature space without a net, and sets of images from arrays."""

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.data.source import digest_of
from vpt_gen.evaluation.features import Extractor, FeatureSpace
from vpt_gen.evaluation.image_sets import ImageSet, in_memory
from vpt_gen.evaluation.yardstick import Yardstick
from vpt_gen.machine import sharding
from vpt_gen.nets import resize


def small_space(digest="0"):
    """A space whose main feature is the 2x2 copy of an image, scaled."""
    return FeatureSpace(
        name="small",
        digest=digest,
        dims={"small": 12, "first": 1},
        main="small",
        near="small",
        classes="small",
        resize="antialiased",
        params=jnp.float32(2.0),
        prepare=lambda images, sizes: resize.antialiased(images, sizes, 2),
        apply=lambda scale, x: {"small": scale * x.reshape(-1, 12), "first": x[:, 0, 0, :1]},
    )


def extractor(space=None, batch_size=64):
    mesh = sharding.make_mesh(jax.devices()[:1])
    return Extractor(space or small_space(), mesh, batch_size)


def image_set(images, labels, name="images", class_names=None, digest=None):
    """A set of uint8 images (n, H, W, 3), known by its content."""
    labels = np.asarray(labels)
    names = class_names or tuple(f"class {i}" for i in range(labels.max(initial=0) + 1))
    digest = digest_of(images) if digest is None else digest
    return ImageSet(name, labels, names, in_memory(images), {"count": len(images)}, digest)


def blobs(count, num_classes=3, seed=0):
    """Images of classes with a color each, and noise: (n, 4, 4, 3) uint8, and labels."""
    random = np.random.default_rng(seed)
    colors = np.random.default_rng(99).integers(60, 200, (num_classes, 1, 1, 3))
    labels = np.arange(count) % num_classes
    noise = random.normal(0, 12, (count, 4, 4, 3))
    return np.clip(colors[labels] + noise, 0, 255).astype(np.uint8), labels


def yardstick(reference=120, train=90, space=None, lpips=None):
    """Held-out and training blobs; `train` 0 for none."""
    return Yardstick(
        extractor(space),
        image_set(*blobs(reference, seed=1), "held-out images"),
        image_set(*blobs(train, seed=2), "training images") if train else None,
        0,
        lpips,
    )
