"""Metrics that are measured on request: only then, with floors, and told if they cannot be."""

import dataclasses

import numpy as np
import pytest

from tests import measured
from vpt_gen.errors import UserError
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.metrics import METRICS, check_requested, chosen_metrics, names_in
from vpt_gen.evaluation.metrics.vendi import Vendi

pytest.importorskip("sklearn")

REQUESTED = {"mind", "gaussian_mmd", "fld", "fld_gap", "authpct", "c_t", "vendi", "intra_lpips"}


def found(images, labels, also=("all",), **sizes):
    yardstick = measured.yardstick(**sizes)
    yardstick = dataclasses.replace(yardstick, also=frozenset(also))
    return measure(yardstick, measured.image_set(images, labels, digest=""))[0]


@pytest.fixture(scope="module")
def honest():
    return found(*measured.blobs(90, seed=5), reference=180)


@pytest.fixture(scope="module")
def copied():
    return found(*measured.blobs(90, seed=2), reference=180)


def test_names():
    assert not REQUESTED & set(names_in("small"))
    on_request = {f.name for m in chosen_metrics("small", ["all"]) for f in m.figures}
    assert on_request - set(names_in("small")) == REQUESTED
    assert [type(m).__name__ for m in chosen_metrics("small", ["fld_gap"]) if m.on_request] == [
        "FeatureLikelihood"
    ]
    assert {f.name for m in METRICS if m.fits("clip") for f in m.figures} >= {"cmmd", "frechet"}
    assert {"fd_dinov2"} == {"fd_dinov2", "frechet", "fid"} & set(names_in("dinov2"))
    check_requested(["mind", "kid", "all"], "small", "--also")
    for name in ("fidd", "cmmd"):
        with pytest.raises(
            UserError, match=f"--also: '{name}' is no figure of small .* mind, .* 'all'"
        ):
            check_requested([name], "small", "--also")


@pytest.mark.slow
def test_new_images_are_at_the_floor(honest):
    assert REQUESTED - honest.values.keys() == {"intra_lpips"}
    assert "weights of LPIPS" in honest.left_out["intra_lpips"]
    for name in REQUESTED & honest.values.keys():
        figure = honest.values[name]
        assert figure.floor is not None and figure.details["floor_of"], name
    values = {name: figure.value for name, figure in honest.values.items()}
    floors = {name: figure.floor for name, figure in honest.values.items()}
    assert values["mind"] < 2 * floors["mind"]
    assert values["gaussian_mmd"] < 3 * floors["gaussian_mmd"]
    assert abs(values["c_t"]) < 2.5 and abs(floors["c_t"]) < 2.5
    assert abs(values["authpct"] - floors["authpct"]) < 20  # Three standard errors.
    assert abs(values["fld"] - floors["fld"]) < 5
    np.testing.assert_allclose(values["vendi"], floors["vendi"], rtol=0.02)
    assert honest.values["fld"].details["held_out"] == "180 held-out images"
    assert honest.values["authpct"].details["trained_on"] == "90 training images"


def test_fewer_real_images_are_no_floor_of_what_grows_with_their_number():
    images = measured.image_set(*measured.blobs(12, seed=5), digest="")
    for train, has_floor in ((12, True), (6, False)):
        yardstick = measured.yardstick(train=train)
        [value] = Vendi().measure(yardstick, yardstick.features_of(images))
        assert (value.floor is not None) == has_floor and value.value > 1


@pytest.mark.slow
def test_copies_are_seen(honest, copied):
    assert copied.values["authpct"].value == 0
    assert copied.values["c_t"].value < honest.values["c_t"].value - 5
    assert copied.values["fld"].value > honest.values["fld"].value + 100
    assert copied.values["fld_gap"].value < honest.values["fld_gap"].value - 100
    # Distances between distributions do not see them.
    assert copied.values["mind"].value < 2 * copied.values["mind"].floor


@pytest.mark.slow
def test_training_images_must_be_known():
    without = found(*measured.blobs(60, seed=5), also=["c_t", "authpct"], train=0)
    assert {"c_t", "authpct"} <= without.left_out.keys()
    assert "give --train with --reference" in without.left_out["c_t"]
    assert "fld" not in without.left_out
