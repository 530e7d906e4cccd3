"""The measures of editing: boxes, seams, and edits under prompts, a class and nothing."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from tests import edit_figures, made
from tests.export.test_export import make_run
from tests.programs import opened
from tests.runs.test_likeness import class_conditions, with_conditions
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT


def test_a_box_is_as_square_as_its_share_allows_and_anywhere():
    random, found = np.random.default_rng(0), set()
    for share, sizes in ((1 / 8, {(2, 4), (4, 2)}), (1 / 4, {(4, 4)}), (1 / 2, {(4, 8), (8, 4)})):
        for _ in range(20):
            marked = edit_figures.box(MaskGIT(256, 4, 64), 64, share, random)
            rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
            assert marked[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert (len(rows), len(columns)) in sizes and marked.sum() == round(share * 64)
            found.add(marked.tobytes())
    assert len(found) > 20


def test_a_causal_net_completes_the_lowest_rows():
    marked = edit_figures.box(GPT(256, 64), 64, 1 / 4, np.random.default_rng(0))
    assert marked[6:].all() and not marked[:6].any()


def test_a_seam_is_the_step_across_the_border_by_that_inside():
    ramp = np.broadcast_to(np.arange(8)[None, :, None, None] * 10, (1, 8, 8, 3)).astype(np.uint8)
    mask = np.zeros((1, 8, 8), bool)
    mask[:, 4:] = True
    # Of 52 pairs of neighbors inside, 28 are in one row, without a step.
    assert edit_figures.seam(ramp, mask) == pytest.approx(10 / (10 * 24 / 52))
    lifted = ramp + 50 * mask[..., None].astype(np.uint8)
    assert edit_figures.seam(lifted, mask) == pytest.approx(60 / (10 * 24 / 52))


def test_images_are_drawn_evenly_and_each_has_another_of_its_class():
    labels = np.repeat([0, 1, 2], [10, 1, 6])
    chosen = edit_figures.choose(labels, 8, seed=0)
    assert np.bincount(labels[chosen], minlength=3).tolist() == [4, 0, 4]
    assert (edit_figures.choose(labels, 8, seed=1) != chosen).any()
    numbers = np.flatnonzero(chosen)
    given = edit_figures.Given(0, numbers, numbers, labels[chosen])
    assert (given.others != numbers).all() and set(given.others) == set(numbers)
    assert (labels[given.others] == labels[numbers]).all()
    with pytest.raises(SystemExit, match="No class has two held-out images"):
        edit_figures.choose(np.arange(3), 8, seed=0)


def test_what_is_pasted_stays_in_the_box():
    images, reconstructions = np.random.default_rng(0).integers(0, 256, (2, 2, 4, 4, 3), np.uint8)
    given = edit_figures.Given(0, images, reconstructions, np.zeros(2, int))
    mask = np.zeros((2, 4, 4), bool)
    mask[0, 1:3, 1:3] = mask[1, :2] = True
    edits = edit_figures.edited({}, given, mask)
    assert list(edits) == [edit_figures.REAL, edit_figures.TOKENIZER, edit_figures.OTHER]
    for name, inside in zip(edits, (images, reconstructions, images[::-1]), strict=True):
        np.testing.assert_array_equal(edits[name][~mask], images[~mask])
        np.testing.assert_array_equal(edits[name][mask], inside[mask])


def test_the_table_has_differences_of_the_same_seed():
    def of(value):
        return dict.fromkeys(edit_figures.MEASURES, value)

    seeds = [{edit_figures.PROMPTS: of(x), edit_figures.NOTHING: of(x + 1)} for x in (1.0, 3.0)]
    lines = edit_figures.table({"1/2": seeds}).splitlines()
    assert lines[2].startswith("| 1/2 | prompts | 2 ± 1 |")
    assert lines[4].startswith("| 1/2 | prompts - no condition | -1 ± 0 |") and len(lines) == 5


@pytest.fixture(scope="module")
def run(tiny_nets, tmp_path_factory):
    """Its transformer predicts differently for each condition; its prompts are two classes'."""
    folder = tmp_path_factory.mktemp("figures")
    made.save_sharpened(tiny_nets, folder)
    # Other decoders count the prompts' position among the unknown ones.
    set_ = {"evaluation.features": "tokenizer", "decode.decoder": "halton"}
    set_["decode.num_iterations"] = 12  # In few, conditions may change no token.
    run = opened(make_run(folder / "run", folder, **set_))
    of_source = class_conditions(run)
    return with_conditions(run, {name: x[jnp.array([2, 0])] for name, x in of_source.items()})


@pytest.mark.slow
def test_prompts_that_are_classes_edit_as_these_and_not_as_no_condition(run, tmp_path, monkeypatch):
    monkeypatch.setattr(edit_figures, "SHARES", ("1/2",))
    edit_figures.measure(run, tmp_path, num=6, seeds=range(2))
    record = json.loads((tmp_path / "edits.json").read_text())
    assert [of["class"] for of in record["source_classes"].values()] == [2, 0]
    for of_seed in record["figures"]["1/2"]:
        assert of_seed[edit_figures.PROMPTS] == of_seed[edit_figures.CLASS]
        assert of_seed[edit_figures.PROMPTS] != of_seed[edit_figures.NOTHING]
        assert of_seed[edit_figures.REAL]["squared error"] == 0
        errors = [of["squared error"] for name, of in of_seed.items() if name != edit_figures.REAL]
        assert len(errors) == 5 and min(errors) > 0
    assert len((tmp_path / "edits.md").read_text().splitlines()) == 2 + 6 + 2
    assert (tmp_path / "edits.png").exists()
