"""The classifier of a source's images, and the distance of its features."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vpt_gen.nets.classifier import MOMENTUM, Classifier, feature_distance
from vpt_gen.training.classifier import make_task

pytestmark = pytest.mark.slow

NET = Classifier(num_classes=2, widths=(4, 8))
IMAGES = jax.random.uniform(jax.random.key(0), (6, 8, 8, 3))


apply = jax.jit(NET.apply, static_argnames=("method", "train", "mutable"))
STATISTICS = ("batch_stats",)


@functools.cache
def variables():
    return jax.jit(NET.init)(jax.random.key(1), IMAGES)


def test_an_image_does_not_depend_on_others_except_in_training():
    logits = apply(variables(), IMAGES)
    alone = apply(variables(), IMAGES[:1])
    np.testing.assert_allclose(alone, logits[:1], atol=1e-5)

    def trained_on(images):
        return apply(variables(), images, train=True, mutable=STATISTICS)[0]

    assert np.abs(trained_on(IMAGES)[0] - trained_on(IMAGES[:2])[0]).max() > 1e-3


def test_features_are_the_activations_of_each_stage():
    first, second = apply(variables(), IMAGES, method="features")
    assert first.shape == (6, 8, 8, 4) and second.shape == (6, 4, 4, 8)
    head = variables()["params"]["head"]
    logits = second.mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(apply(variables(), IMAGES), logits, atol=1e-5)


def test_the_distance_is_zero_for_equal_images_and_grows_with_noise():
    noise = jax.random.normal(jax.random.key(2), IMAGES.shape)

    def distance(scale):
        return np.asarray(feature_distance(NET, variables(), IMAGES, IMAGES + scale * noise))

    np.testing.assert_array_equal(distance(0.0), np.zeros(6))
    assert (distance(0.1) > 1e-4).all() and (distance(0.3) > distance(0.1)).all()


def test_training_learns_and_follows_the_statistics():
    """Bright against dark images; the running statistics end at those of the data."""
    task = make_task(NET, optax.adam(1e-2), image_size=8, label_smoothing=0.1)
    state = jax.jit(task.init)(jax.random.key(0))
    labels = jnp.arange(6) % 2
    batch = {"image": 0.5 * IMAGES + 0.5 * labels[:, None, None, None], "label": labels}
    eval_step = jax.jit(task.eval_step)
    first = eval_step(state.params, {}, batch, jax.random.key(0))
    step = jax.jit(task.train_step)
    for _ in range(200):
        state, metrics = step(state, {}, batch, jax.random.key(0))
    assert metrics["accuracy"] == 1.0
    last = eval_step(state.params, {}, batch, jax.random.key(0))
    assert last["accuracy"].min() == 1.0 and last["loss"].mean() < first["loss"].mean()
    # The rate falls to nothing, so that the net stands still and the statistics catch up with it.
    for _ in range(int(8 / (1 - MOMENTUM))):
        _, updated = apply(state.params, batch["image"], train=True, mutable=STATISTICS)
        state = state.replace(params={**state.params, **updated})
    in_training, _ = apply(state.params, batch["image"], train=True, mutable=STATISTICS)
    np.testing.assert_allclose(apply(state.params, batch["image"]), in_training, atol=0.05)
