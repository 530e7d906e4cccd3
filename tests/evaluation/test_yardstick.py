"""Figures of made images against real ones: floors, classes, and counts that are too small."""

import dataclasses

import numpy as np
import pytest

from tests import measured
from vpt_gen.evaluation.features import Features
from vpt_gen.evaluation.measure import measure as take
from vpt_gen.evaluation.metrics import names_in
from vpt_gen.evaluation.metrics.frechet import frechet
from vpt_gen.evaluation.metrics.kid import Kid
from vpt_gen.evaluation.yardstick import Measured

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def yardstick():
    return measured.yardstick()


def measure(yardstick, images, labels, **options):
    return take(yardstick, measured.image_set(images, labels, digest="", **options))[0]


@pytest.fixture(scope="module")
def alike(yardstick):
    """Figures of images like the real ones."""
    return measure(yardstick, *measured.blobs(80, seed=5))


@pytest.mark.slow
def test_images_like_the_real_ones_are_at_the_floor(alike):
    assert set(alike.values) == {
        *("frechet", "kid", "precision", "recall", "density", "coverage", "class_agreement"),
        *("memorization_rate", "intra_class_diversity"),
    }
    for name, figure in alike.values.items():
        spread = {"frechet": 1.0 * figure.floor, "kid": 3 * (figure.std or 0)}
        spread = spread.get(name, 0.15 * (1 + abs(figure.floor)))
        assert abs(figure.value - figure.floor) < spread, name
    assert set(alike.left_out) == {"intra_class_lpips"}


def test_noise_is_far_from_the_floor(yardstick, alike):
    noise = np.random.default_rng(3).integers(0, 256, (80, 4, 4, 3)).astype(np.uint8)
    found = measure(yardstick, noise, np.arange(80) % 3).values
    assert found["frechet"].value > 20 * found["frechet"].floor
    assert found["precision"].value < 0.5 * alike.values["precision"].value
    assert found["class_agreement"].value < 0.6


def test_a_lost_class_is_seen(yardstick, alike):
    images, labels = measured.blobs(240, seed=5)
    found = measure(yardstick, images[labels < 2][:80], labels[labels < 2][:80]).values
    assert found["recall"].value < alike.values["recall"].value - 0.2
    assert found["coverage"].value < alike.values["coverage"].value - 0.2
    assert found["precision"].value > alike.values["precision"].value - 0.15


def test_copies_are_seen(yardstick):
    found = measure(yardstick, *measured.blobs(90, seed=2)).values
    assert found["memorization_rate"].value == 1.0
    assert found["memorization_rate"].floor < 0.06


def test_one_image_a_class_has_no_diversity_but_looks_right(yardstick):
    images, labels = measured.blobs(3, seed=4)
    found = measure(yardstick, np.tile(images, (20, 1, 1, 1)), np.tile(labels, 20)).values
    assert found["intra_class_diversity"].value < 1e-9 < found["intra_class_diversity"].floor
    assert found["class_agreement"].value == 1.0


def test_floors_are_taken_with_as_many_images(yardstick, alike):
    details = alike.values["frechet"].details
    assert details["floor_of"] == "80 training images against 120 held-out images"
    many = measure(yardstick, *measured.blobs(200, seed=5)).values["frechet"].details
    assert many["floor_of"] == "90 training images against 120 held-out images"
    # The floor is the same code on real images in the place of the generated ones.
    drawn, others = yardstick.real_against_real(80)
    (again,) = Kid().compare(yardstick.extractor.space, drawn.features, others.features)
    assert alike.values["kid"].floor == again.value


@pytest.mark.parametrize(("count", "varies"), [(999, True), (1000, False)])
def test_subsets_as_large_as_the_set_have_no_spread(yardstick, count, varies):
    space = yardstick.extractor.space
    rows = {space.main: np.random.default_rng(count).normal(size=(count, 2))}
    features = Features(count, {}, rows, np.arange(count))
    (found,) = Kid().compare(space, features, features)
    assert (found.std is not None) == varies and np.isfinite(found.value)


def test_without_training_images_halves_of_the_reference_serve():
    yardstick = measured.yardstick(train=0)
    found = measure(yardstick, *measured.blobs(80, seed=5))
    assert "needs training images" in found.left_out["memorization_rate"]
    details = found.values["recall"].details
    assert details["floor_of"] == "60 held-out images against 60 held-out images"
    assert found.values["class_agreement"].details["classifier_trained_on"] == "60 held-out images"
    fitted, tried = (side.features.indices for side in yardstick.sides)
    assert sorted([*fitted, *tried]) == list(range(120))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_what_few_images_do_not_give_is_left_out_with_a_reason(yardstick, count):
    images, labels = measured.blobs(count)
    found = measure(yardstick, images, np.zeros_like(labels), class_names=("class 0",))
    assert found.values.keys() | found.left_out.keys() == set(names_in("small"))
    assert ("frechet" in found.values) == (count >= 2)
    assert ("kid" in found.values) == (count >= 4)
    assert ("recall" in found.values) == (count >= 4)
    assert "class_agreement" in found.values
    assert all(reason.endswith(".") or "say" in reason for reason in found.left_out.values())


def test_one_real_image_is_no_obstacle():
    yardstick = measured.yardstick(reference=1, train=0)
    found = measure(yardstick, *measured.blobs(20))
    assert not {"frechet", "kid", "recall", "class_agreement"} & found.values.keys()
    assert "two classes or more" in found.left_out["class_agreement"]


def test_classes_are_told_by_name(yardstick):
    images, labels = measured.blobs(60, seed=5)
    names = ("class 2", "class 1", "class 0")
    turned = measure(yardstick, images, 2 - labels, class_names=names).values
    assert turned["class_agreement"].value == 1.0
    unknown = measure(yardstick, images, labels * 0, class_names=("pictures",))
    for name in ("class_agreement", "intra_class_diversity"):
        assert "'pictures' of the images is none of the" in unknown.left_out[name]
    assert "frechet" in unknown.values


def test_a_class_without_an_image_needs_no_name_in_the_reference(yardstick):
    images, labels = measured.blobs(60, seed=5)
    names = ("class 0", "class 1", "class 2", "class of none")
    found = measure(yardstick, images, labels, class_names=names)
    assert found.values["class_agreement"].value == 1.0


def test_small_sets_have_kid_on_smaller_subsets(alike):
    assert alike.values["kid"].details["subset_size"] == 40
    assert alike.values["kid"].std > 0


def test_the_same_images_give_the_same_numbers(yardstick, alike):
    assert measure(measured.yardstick(), *measured.blobs(80, seed=5)) == alike


def test_a_distance_over_more_images_than_are_kept_takes_their_moments(yardstick):
    images, labels = measured.blobs(50, seed=5)
    extractor, kept = measured.extractor(), {"moments": ["small"], "keep": ["small"]}
    whole = extractor.collect(extractor.stream(images), **kept)
    some = extractor.collect(extractor.stream(images), **kept, max_kept=30)
    real = yardstick.real.features
    expected = frechet(whole, real, "small")
    np.testing.assert_allclose(frechet(some, real, "small"), expected, rtol=1e-6)
    assert Measured(measured.image_set(images, labels), some).labels.shape == (30,)


def test_intra_lpips_needs_weights_that_are_told(alike):
    assert "weights of LPIPS" in alike.left_out["intra_class_lpips"]


@pytest.mark.slow
def test_images_that_judge_make_floors_and_the_classifier():
    few = measured.yardstick(train=6)
    judge = measured.image_set(*measured.blobs(150, seed=8), "judging images")
    found = measure(dataclasses.replace(few, judge=judge), *measured.blobs(80, seed=5)).values
    assert found["frechet"].details["floor_of"] == "80 judging images against 120 held-out images"
    assert found["class_agreement"].details["classifier_trained_on"] == "150 judging images"
    # What may have been copied is what was trained on.
    assert found["memorization_rate"].details["neighbors_among"] == "6 training images"
    assert (
        found["frechet"].value == measure(few, *measured.blobs(80, seed=5)).values["frechet"].value
    )


def test_only_chosen_pictures_are_read_once_and_of_their_own_set(yardstick):
    images, labels = measured.blobs(6)
    streamed, chosen = [], np.array([0, 1, 0, 0, 1, 0], bool)

    def stream(wanted=None):
        streamed.append(wanted)
        return iter(images[wanted])

    one = dataclasses.replace(measured.image_set(images, labels), stream=stream)
    other = measured.image_set(255 - images, labels)
    for _ in range(2):
        np.testing.assert_array_equal(yardstick.pictures(one, chosen), images[chosen])
    np.testing.assert_array_equal(yardstick.pictures(other, chosen), 255 - images[chosen])
    assert [wanted.tolist() for wanted in streamed] == [chosen.tolist()]
