"""Metrics against the programs that published them: the same arrays, other people's code.

`references/figures.json` has the programs' numbers and versions; `tests/evaluation_references.py`
made it.
"""

import functools
import json

import numpy as np
import pytest

from tests.evaluation_references import FOLDER, alexnet_tensors
from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.evaluation.metrics.cmmd import cmmd
from vpt_gen.evaluation.metrics.copying import authpct, c_t
from vpt_gen.evaluation.metrics.likelihood import fit, fld, nll
from vpt_gen.evaluation.metrics.mind import mind, sliced_wasserstein
from vpt_gen.evaluation.metrics.vendi import vendi
from vpt_gen.evaluation.perceptual_diversity import intra_lpips

EXPECTED = json.loads((FOLDER / "figures.json").read_text())["figures"]


@functools.cache
def arrays(name):
    with np.load(FOLDER / f"{name}.npz") as stored:
        return dict(stored)


@pytest.fixture
def generated():
    return arrays("features")["generated"]


@pytest.fixture
def train():
    return arrays("features")["train"]


@pytest.fixture
def held_out():
    return arrays("features")["held_out"]


def test_mind_of_the_same_directions(generated, held_out):
    axes = arrays("features")["directions"].astype(np.float64)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    found = sliced_wasserstein(generated, held_out[: len(generated)], axes)
    np.testing.assert_allclose(found, EXPECTED["mind_of_directions"], rtol=1e-5)


def test_mind_of_other_directions_is_within_their_noise(generated, held_out):
    found = [mind(generated, held_out[: len(generated)], seed=seed) for seed in range(4)]
    noise = EXPECTED["mind"]["std"]
    np.testing.assert_allclose(np.mean(found), EXPECTED["mind"]["mean"], atol=2 * noise)
    np.testing.assert_allclose(found, EXPECTED["mind"]["mean"], atol=4 * noise)


def test_cmmd(generated, held_out):
    # The published program computes in float32, whose rounding the kernel's mean of 1 shows.
    np.testing.assert_allclose(cmmd(generated, held_out), EXPECTED["cmmd"], rtol=1e-6)
    np.testing.assert_allclose(cmmd(generated, held_out), EXPECTED["cmmd_float32"], atol=5e-4)


def test_vendi_score(generated):
    np.testing.assert_allclose(vendi(generated), EXPECTED["vendi"], rtol=1e-6)
    np.testing.assert_allclose(vendi(generated), EXPECTED["vendi_dgm_eval"], rtol=1e-5)
    np.testing.assert_allclose(vendi(generated[:40]), EXPECTED["vendi_of_few"], rtol=1e-6)


def test_authpct(generated, train):
    np.testing.assert_allclose(authpct(generated, train), EXPECTED["authpct"], rtol=1e-6)


def test_data_copying_test(generated, train, held_out):
    pytest.importorskip("sklearn")
    found = c_t(generated, train, held_out)
    np.testing.assert_allclose(found, EXPECTED["c_t"], rtol=1e-4)
    found = c_t(held_out[1::2], train, held_out[::2])
    np.testing.assert_allclose(found, EXPECTED["c_t_of_held_out"], rtol=1e-4)


def test_feature_likelihood(generated, train, held_out):
    mean, deviation = held_out.mean(axis=0), held_out.std(axis=0, ddof=1)
    centers, rows, others = ((x - mean) / deviation for x in (generated, train, held_out))
    variances = fit(centers, rows)
    found = {"fld_nll_test": others, "fld_nll_train": rows}
    for name, of in found.items():
        np.testing.assert_allclose(100 * nll(centers, variances, of), EXPECTED[name], rtol=1e-4)
    divergence, gap = fld(generated, train, held_out)
    np.testing.assert_allclose(gap, EXPECTED["fld_gap"], rtol=2e-4)
    # The halves of the training images are drawn.
    expected = EXPECTED["fld"]
    np.testing.assert_allclose(divergence, expected["mean"], atol=4 * expected["std"])


@pytest.mark.slow
def test_few_shot_intra_lpips(tmp_path):
    np.savez(tmp_path / "lpips_alex.npz", **alexnet_tensors())
    lpips = load_perceptual(tmp_path, "alex")
    of = arrays("few_shot")
    found = intra_lpips(lpips, list(of["images"]), list(of["examples"]), 40)
    expected = EXPECTED["intra_lpips"]
    assert found.sizes == expected["sizes"]
    np.testing.assert_allclose(found[:2], (expected["mean"], expected["std"]), rtol=1e-4)
