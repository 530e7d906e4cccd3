"""Sets of images: prepared as training sees them, or as they are; and what is recorded of them."""

import numpy as np
import pytest

from vpt_gen.config.fields import default_config
from vpt_gen.data import arrays
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.preprocess import Augmentation
from vpt_gen.data.source import Source, split
from vpt_gen.errors import UserError
from vpt_gen.evaluation.image_sets import (
    real_images,
    real_sets,
    tapped,
    with_trained,
)

SIZES = [(8, 8), (12, 6), (5, 20)]


def load(index):
    height, width = SIZES[index]
    return np.random.default_rng(index).integers(0, 256, (height, width, 3)).astype(np.uint8)


SOURCE = Source("made", ("a", "b"), np.array([0, 1, 0], np.int32), load, "digest")


def test_as_they_are_means_every_pixel():
    images = real_images(SOURCE, "images", "all", None)
    for index, image in enumerate(images.stream()):
        np.testing.assert_array_equal(image, load(index))
    assert index == 2
    assert images.record["preparation"] == "as they are"


@pytest.mark.slow
def test_a_spec_makes_squares_without_augmentation():
    spec = ImageSpec(8, "crop", Augmentation(flip=True, rotation=90.0))
    first, second = (list(real_images(SOURCE, "images", "all", spec).stream()) for _ in range(2))
    assert [image.shape for image in first] == [(1, 8, 8, 3)] * 3
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))
    np.testing.assert_array_equal(first[0][0], load(0))  # Rounding back to 8 bits loses nothing.


def test_preparations_have_digests_of_their_own():
    specs = [None, ImageSpec(8, "crop"), ImageSpec(8, "pad"), ImageSpec(16, "crop")]
    assert len({real_images(SOURCE, "images", "all", spec).digest for spec in specs}) == 4


@pytest.mark.parametrize("spec", [None, ImageSpec(8, "crop")])
def test_an_image_that_has_become_unreadable_is_named_and_not_replaced(spec):
    def broken(index):
        if index == 1:
            raise OSError("b.png has become unreadable")
        return load(index)

    source = Source("made", ("a", "b"), SOURCE.labels, broken, "digest")
    with pytest.raises(UserError, match="example 1 cannot be read: b.png has become unreadable"):
        list(real_images(source, "images", "all", spec).stream())


def test_chosen_images_are_kept_on_the_way():
    batches = [np.full((2, 1, 1, 3), 1), np.full((1, 1, 3), 2), np.full((2, 1, 1, 3), 3)]
    batches[2][1] = 4
    kept = []
    passed = list(tapped(iter(batches), np.array([True, False, True, False, True]), kept))
    assert [item.shape for item in passed] == [item.shape for item in batches]
    assert [int(image[0, 0, 0]) for image in kept] == [1, 2, 4]


def test_a_reference_says_which_of_its_images_were_trained_on():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    whole = arrays.from_arrays("made", pixels, np.array([0, 1, 0, 1, 0, 1]), ("a", "b"))
    config = default_config("prompts")
    config.data.evaluate_on = "validation"
    repeated = whole.subset([0, 1, 4])
    reference, train = real_sets(config, whole.subset([0, 1, 2, 3]), repeated)
    assert (str(reference), str(train)) == ("3 validation images", "4 training images")
    assert (reference.trained_on, reference.record["trained_on"]) == (2, 2)
    assert str(with_trained(reference, whole)) == "3 images trained on"
    assert with_trained(reference, whole).record["images"] == "3 images trained on"
    assert str(real_images(whole.subset([0]), "held-out images", "", None)) == "1 held-out image"
    # The features of the images do not depend on what they are called.
    assert with_trained(reference, whole).digest == reference.digest


@pytest.mark.slow
def test_splits_are_told():
    config = default_config("prompts")
    config.data.holdout = 0.2
    config.data.shots = 3
    config.data.image_size = 28
    whole = arrays.open_digits()
    reference, train = real_sets(config, *split(whole, 0.2, 0))
    assert (len(reference), len(train)) == (1000, 4000)
    assert reference.record["split"] == "0.2 of each class, drawn by seed 0"
    assert train.record["split"] == "all but 0.2 of each class, 3 of each class, drawn by seed 0"
    assert (str(reference), str(train)) == ("1,000 held-out images", "4,000 training images")
    assert reference.record["trained_on"] == 0
    alone, none = real_sets(config, whole, None)
    assert none is None and str(alone) == "5,000 images trained on"
    assert alone.record["trained_on"] == 5000 and alone.record["split"].startswith("all, 3 of each")
    config.data.eval_split = "val"
    reference, train = real_sets(config, *split(whole, 0.2, 0))
    assert reference.record["split"] == "val"
    assert train.record["split"].startswith("train, 3 of each class")
