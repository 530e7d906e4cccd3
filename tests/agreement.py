"""`python -m tests.agreement`: prints metrics next to what the published programs give.

The numbers are those of `tests/evaluation_references.py`. Not collected by pytest: seconds.
"""

import json

import numpy as np

from tests.evaluation_references import FOLDER
from vpt_gen.evaluation.metrics.cmmd import cmmd
from vpt_gen.evaluation.metrics.copying import authpct, c_t
from vpt_gen.evaluation.metrics.likelihood import fit, fld, nll
from vpt_gen.evaluation.metrics.mind import mind, sliced_wasserstein
from vpt_gen.evaluation.metrics.vendi import vendi

DRAWS = 20


def ours(sets: dict[str, np.ndarray]) -> dict[str, float]:
    """Figures without draws of their own, or with the same ones."""
    made, train, real = sets["generated"], sets["train"], sets["held_out"]
    axes = sets["directions"].astype(np.float64)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    mean, deviation = real.mean(axis=0), real.std(axis=0, ddof=1)
    centers, known, new = ((x - mean) / deviation for x in (made, train, real))
    variances = fit(centers, known)
    return {
        "mind_of_directions": sliced_wasserstein(made, real[: len(made)], axes),
        "cmmd": cmmd(made, real),
        "vendi": vendi(made),
        "authpct": authpct(made, train),
        "c_t": c_t(made, train, real),
        "fld_nll_test": 100 * nll(centers, variances, new),
        "fld_nll_train": 100 * nll(centers, variances, known),
        "fld_gap": fld(made, train, real)[1],
    }


def main() -> None:
    expected = json.loads((FOLDER / "figures.json").read_text())["figures"]
    with np.load(FOLDER / "features.npz") as stored:
        sets = dict(stored)
    print("| | vpt_gen | published program | relative difference |\n|---|---|---|---|")
    for name, value in ours(sets).items():
        difference = abs(value / expected[name] - 1)
        print(f"| {name} | {value:.8g} | {expected[name]:.8g} | {difference:.1e} |")
    made, train, real = sets["generated"], sets["train"], sets["held_out"]
    drawn = {
        "mind": [mind(made, real[: len(made)], seed=seed) for seed in range(DRAWS)],
        "fld": [fld(made, train, real, seed=seed)[0] for seed in range(DRAWS)],
    }
    for name, values in drawn.items():
        theirs = expected[name]
        value = f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.2g}"
        print(f"| {name}, {DRAWS} draws | {value} | {theirs['mean']:.4g} ± {theirs['std']:.2g} | |")


if __name__ == "__main__":
    main()
