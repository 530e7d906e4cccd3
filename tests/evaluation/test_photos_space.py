"""The photos space: what comes before a classifier's head, and the same for ever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import measured
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.evaluation import spaces
from vpt_gen.evaluation.photos_space import photos_space
from vpt_gen.nets.classifier import Classifier

NET = Classifier(num_classes=3, widths=(4, 8))


@pytest.fixture(scope="module")
def space():
    params = jax.jit(NET.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    # Statistics that are not those of a new net, so that they count.
    params["batch_stats"] = jax.tree.map(lambda x: x + 0.1, params["batch_stats"])
    return photos_space(PretrainedNet(NET, params, "0", {}))


def rows(space, images):
    [batch] = measured.extractor(space, 8).stream([images])
    return batch["pooled"]


def test_the_head_makes_the_logits_of_the_features(space):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    found, head = rows(space, images), space.params["params"]["head"]
    logits = NET.apply(space.params, images / np.float32(255.0))
    np.testing.assert_allclose(found @ head["kernel"] + head["bias"], logits, atol=1e-4)
    assert found.shape == (5, space.dims[space.main]) and space.needed == ("pooled",)
    larger = images.repeat(3, axis=1).repeat(3, axis=2)
    shrunk = jax.image.resize(larger.astype(np.float32), images.shape, "linear")
    expected = NET.apply(space.params, shrunk / 255.0, method="features")[-1].mean((1, 2))
    np.testing.assert_allclose(rows(space, larger), expected, atol=1e-4)


def test_the_shipped_features_stay_what_they_are():
    space = spaces.open_space("photos", "")
    down, right = np.mgrid[:32, :32].astype(np.uint8)
    image = np.stack([8 * down, 8 * right, (down ^ right) * 8], axis=-1)
    found = rows(space, np.stack([image, 255 - image, image[::-1, :, ::-1]]))
    first = [
        [0.39332, 0.32917, 0.10741, 0.17858],
        [0.19363, 0.37304, 0.12190, 0.08888],
        [0.23281, 0.59671, 0.19914, 0.10006],
    ]
    assert found.shape == (3, 256)
    np.testing.assert_allclose(found[:, :4], first, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), [71.5555, 73.9183, 68.5068], rtol=1e-4)
