"""metrics.json and the table: every figure carries its protocol, and reads at a glance."""

import dataclasses
import json
import math

import pytest

from tests import measured
from vpt_gen.data import arrays
from vpt_gen.evaluation import report
from vpt_gen.evaluation.figures import Found, Value
from vpt_gen.evaluation.image_sets import real_images
from vpt_gen.evaluation.metrics import FIGURES

FOUND = Found(
    {
        "precision": Value(0.5, None, 0.75, {"k": 3}),
        "fid": Value(12.3456, None, 3.21),
        "kid": Value(0.00123, 0.0004, None),
    },
    {"intra_class_lpips": "No weights.", "recall": "Too few.", "coverage": "Too few."},
)


SHARED = {
    "generated": {"count": 5000, "class_counts": "even"},
    "reference": {"count": 70},
    "train": {"count": 30},
    "features": {"space": "inception"},
}


@pytest.fixture
def record():
    return report.make_record(FOUND, SHARED)


def test_a_figure_carries_all_that_fixes_it(record):
    assert list(record["figures"]) == ["fid", "kid", "precision"]
    precision = record["figures"]["precision"]
    assert precision["protocol"] == {**SHARED, "k": 3}
    assert {k: v for k, v in precision.items() if k != "protocol"} == {
        "value": 0.5,
        "std": None,
        "floor": 0.75,
        "better": "higher",
        "meaning": FIGURES["precision"].meaning,
    }
    assert record["left_out"] == {
        "recall": "Too few.",
        "coverage": "Too few.",
        "intra_class_lpips": "No weights.",
    }
    assert record["protocol"] == SHARED


def test_older_names_of_figures_are_read(record):
    older = {
        "figures": {"memorisation_rate": 1, "kid": 2},
        "left_out": {"recall": "Too few."},
        "protocol": SHARED,
    }
    found = report.with_new_names(older)
    assert found["figures"] == {"memorization_rate": 1, "kid": 2}
    assert found == {**older, "figures": found["figures"]}
    assert report.with_new_names(record) == record
    # The name of our own figure until the published one came.
    older["left_out"]["intra_lpips"] = "No weights."
    assert report.with_new_names(older)["left_out"]["intra_class_lpips"] == "No weights."
    newer = {"figures": {"intra_lpips": 1}, "left_out": {"intra_class_lpips": "Too few."}}
    assert report.with_new_names(newer) == newer
    assert report.with_new_names({"class_agreement": 0.5}) == {"class_agreement": 0.5}


def test_the_table_has_a_line_a_figure_and_a_reason_for_the_others(record):
    lines = report.table(record).splitlines()
    assert lines[1] == (
        "5,000 generated images, classes evenly, trained on 30; compared with 70 real images; "
        "inception features"
    )
    del lines[1]
    assert lines[1].split() == ["generated", "±", "std", "real", "better"]
    assert lines[2].split() == ["FID", "12.35", "3.21", "lower"]
    assert lines[3].split() == ["KID", "0.00123", "0.0004", "lower"]
    assert lines[4].split() == ["precision", "0.5", "0.75", "higher"]
    assert lines[6:] == ["No recall, coverage: Too few.", "No intra-class LPIPS: No weights."]


def compared_with(trained_on, **more):
    """A record of images compared with 20, of which so many were trained on."""
    name = "images trained on" if trained_on == 20 else "held-out images"
    reference = {"count": 20, "images": f"20 {name}", "trained_on": trained_on}
    return report.make_record(FOUND, {**SHARED, "reference": reference, **more})


def test_against_images_trained_on_figures_that_flatter_copies_are_marked():
    record = compared_with(20)
    assert all("Copies of images trained on" in f["warning"] for f in record["figures"].values())
    text = report.table(record)
    assert "compared with the 20 images trained on; inception features" in text
    assert "\nFID *  " in text and "\nprecision *  " in text
    assert "* The reference was trained on, so copies would get the best values." in text
    score = Found({"inception_score": Value(2.0), "memorization_rate": Value(0.0)})
    alone = report.make_record(score, record["protocol"])
    assert not any("warning" in figure for figure in alone["figures"].values())


def test_against_held_out_images_nothing_is_marked():
    text = report.table(compared_with(0))
    assert "compared with 20 held-out images; inception" in text and "*" not in text
    text = report.table(compared_with(5))
    assert "* 5 of the 20 held-out images were trained on" in text and "FID *" in text


def test_held_out_images_that_leak_are_to_be_removed_and_not_held_out_again():
    (line,) = report.remarks(compared_with(1))
    assert "* 1 of the 20 held-out images was trained on" in line
    assert "remove the duplicates and train again, or give another --reference" in line
    assert "holdout above 0" not in line


def test_duplicates_and_absent_classes_are_said_below_the_table():
    counts = {"within_classes": 9, "across_classes": 2, "held_out_in_training": 0}
    absent = {"generated": ["ants"], "reference": list("abcdefg")}
    lines = report.remarks(compared_with(0, duplicates=counts, classes_without_images=absent))
    assert lines == [
        "No generated image is of these classes: ants.",
        "No reference image is of these classes: a, b, c, d, e and 2 more.",
        "Exact duplicates in the real images: 9 images repeat another image of the same class, 2 "
        "images are also in another class.",
    ]
    found = Found({"memorization_rate": Value(0.5, details={"held_out_copies_left_out": 1})})
    (line,) = report.remarks(report.make_record(found, SHARED))
    assert "leaves out exact copies of training images: 1 held-out image." in line


def test_generated_images_that_are_those_compared_with_are_said():
    pixels, labels = measured.blobs(6)
    real = arrays.from_arrays("real", pixels, labels, ("a", "b", "c"))
    drawn = arrays.from_arrays("drawn", measured.blobs(6, seed=9)[0], labels, ("a", "b", "c"))
    yardstick = dataclasses.replace(
        measured.yardstick(train=0), reference=real_images(real, "reference images", "all", None)
    )
    for source, copies in ((real, 6), (drawn, 0)):
        shared = report.protocol(yardstick, real_images(source, "images", "all", None), "x")
        assert shared["generated"]["copies_of_reference"] == copies
        assert shared["duplicates"]["within_classes"] == 0
        lines = report.remarks({"protocol": shared})
        assert (lines == []) == (copies == 0)
    assert json.loads(json.dumps(shared)) == shared


def test_a_class_that_one_of_two_sets_lacks_is_found():
    images, labels = measured.blobs(12)
    whole = measured.image_set(images, labels)
    part = measured.image_set(images, labels % 2, class_names=whole.class_names)
    assert report.absent_classes(whole, whole) == {}
    assert report.absent_classes(part, whole) == {"generated": ["class 2"]}
    assert report.absent_classes(whole, part) == {"reference": ["class 2"]}
    other = measured.image_set(images, labels % 2, class_names=("class 0", "class 1"))
    assert report.absent_classes(whole, other) == {"reference": ["class 2"]}
    # Two folders without a class in common are not compared class by class.
    flat = measured.image_set(images, labels * 0, class_names=("my_images",))
    assert report.absent_classes(flat, whole) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_left_out_with_the_reason(value):
    found = Found()
    found.take([FIGURES["kid"]], lambda: [Value(value, 0.1)])
    assert not found.values and "is not a finite number" in found.left_out["kid"]


def test_the_protocol_says_what_the_images_features_and_programs_were():
    yardstick = measured.yardstick()
    shared = report.protocol(yardstick, measured.image_set(*measured.blobs(3)), "python -m x")
    assert json.loads(json.dumps(shared)) == shared
    assert {"python", "jax", "flax", "numpy", "scipy", "vpt_gen"} <= shared["versions"].keys()
    assert shared["features"]["digest"] == "0"
    assert shared["reference"] == {"count": 120}
    assert shared["train"] == {"count": 90}
    assert shared["command"] == "python -m x"


def test_every_figure_says_what_it_means():
    for name, figure in FIGURES.items():
        assert figure.better in report._DIRECTIONS
        assert figure.meaning[-1] in ".?" and len(figure.meaning) > 30
        assert report.label(name)


@pytest.mark.parametrize(
    "damage",
    [
        {"generated": None},
        {"reference": []},
        {"reference": {}},
        {"features": "inception"},
        {"duplicates": {"within": 1}},
        {"classes_without_images": []},
    ],
)
def test_a_damaged_protocol_is_a_fault(record, damage):
    assert report.fault_of(record) == ""
    faulty = {**record, "protocol": {**record["protocol"], **damage}}
    assert "its protocol lacks a part" in report.fault_of(faulty)
