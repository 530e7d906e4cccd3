"""metrics.json and the table: every figure carries its protocol, and reads at a glance."""

import json

import pytest

from tests import measured
from vpt_gen.evaluation import report
from vpt_gen.evaluation.figures import Found, Value
from vpt_gen.evaluation.metrics import FIGURES

FOUND = Found(
    {
        "precision": Value(0.5, None, 0.75, {"k": 3}),
        "fid": Value(12.3456, None, 3.21),
        "kid": Value(0.00123, 0.0004, None),
    },
    {"intra_lpips": "No weights.", "recall": "Too few.", "coverage": "Too few."},
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
        "intra_lpips": "No weights.",
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
        assert figure.better in ("lower", "higher", "neither")
        assert figure.meaning[-1] in ".?" and len(figure.meaning) > 30
        assert report.label(name)
