"""Runs side by side: which images stand where, and what a user may get wrong."""

import numpy as np
import pytest

from tests import made
from tests.programs import train
from vpt_gen import gallery
from vpt_gen.errors import UserError
from vpt_gen.report.conditions import prompt_pairs
from vpt_gen.report.marquee import make_schedules
from vpt_gen.report.real import open_real
from vpt_gen.report.side_by_side import (
    first_samples,
    marquee_picture,
    nearest_picture,
    side_by_side,
)
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.samples import draw

pytestmark = pytest.mark.slow
SIDE, STEP = 64, 68  # of a magnified image, and from one row of the picture to the next


@pytest.fixture(scope="module")
def workdir(tiny_nets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    data = made.write_folder(folder / "images")
    config = made.prompts_config(data, tiny_nets / "vqgan", tiny_nets / "nar")
    config.data.image_size = 32
    train(config, folder / "run")
    return str(folder / "run")


@pytest.fixture(scope="module")
def runs(workdir):
    return gallery.open_runs([f"a={workdir}", f"b={workdir}"])


def tile(picture, row, column, columns):
    """An image of the picture, of the size that it was generated in."""
    left = picture.shape[1] - columns * (SIDE + 2) - 2 + column * (SIDE + 2) + 2
    top = row * STEP + 2
    return picture[top : top + SIDE : 2, left : left + SIDE : 2]


def test_real_images_stand_above_the_samples_of_each_run(runs):
    run = runs["a"]
    drawn = {label: first_samples(each, num=2, seed=3) for label, each in runs.items()}
    picture = side_by_side(run.facts["class_names"], drawn, open_real(run))
    assert picture.shape[0] == 2 * 3 * STEP
    samples = plain_generation(run, np.array([0, 0, 1, 1]), 3).samples().images
    for row, number in ((1, 0), (2, 0), (4, 2), (5, 2)):
        shown = tile(picture, row, 1, 2)
        np.testing.assert_allclose(shown / 255.0, samples[number + 1], atol=1 / 255)
    real = open_real(run)
    (first,) = real.pictures(real.train, np.flatnonzero(real.train.labels == 1)[:1])
    np.testing.assert_allclose(tile(picture, 3, 0, 2) / 255.0, first, atol=1 / 255)


def test_real_images_can_be_left_out(runs):
    drawn = {label: first_samples(run, num=2, seed=3) for label, run in runs.items()}
    picture = side_by_side(runs["a"].facts["class_names"], drawn, None)
    assert picture.shape[0] == 2 * 2 * STEP
    samples = plain_generation(runs["b"], np.array([0, 0, 1, 1]), 3).samples().images
    np.testing.assert_allclose(tile(picture, 3, 0, 2) / 255.0, samples[2], atol=1 / 255)


def test_the_nearest_training_images_stand_below_samples(runs):
    run, real = runs["a"], open_real(runs["a"])
    drawn = first_samples(run, num=2, seed=3)
    picture = nearest_picture(run.facts["class_names"], drawn, real)
    assert picture.shape[0] == 2 * 2 * STEP
    samples = plain_generation(run, np.array([0, 0, 1, 1]), 3).samples().images
    np.testing.assert_allclose(tile(picture, 2, 1, 2) / 255.0, samples[3], atol=1 / 255)
    (near,) = real.nearest(real.rows(samples[3:])).indices
    (shown,) = real.pictures(real.train, np.array([near]))
    np.testing.assert_allclose(tile(picture, 3, 1, 2) / 255.0, shown, atol=1 / 255)


def test_a_marquee_has_a_row_for_each_schedule(runs):
    run = runs["a"]
    picture = marquee_picture(run, seed=3)
    schedules = make_schedules(run)
    assert picture.shape[0] == len(schedules) * STEP
    pairs = prompt_pairs(run, np.arange(2))
    for row in (0, len(schedules) - 1):
        images = draw(run.sampler, run.params, pairs, 3, schedules[row].weights).images
        np.testing.assert_allclose(tile(picture, row, 1, 2) / 255.0, images[1], atol=1 / 255)


def test_no_run_takes_the_rows_of_real_images():
    with pytest.raises(UserError, match="--run=real=.*label of the real images; give another"):
        gallery.open_runs(["real=runs/a"])


@pytest.mark.parametrize("given", ["runs/demo", "a=", "a=b"])
def test_runs_need_a_label_each(workdir, given):
    with pytest.raises(UserError, match="--run=.* must be <label>=<workdir>|working directory"):
        gallery.open_runs([f"x={workdir}", given])
    with pytest.raises(UserError, match="each label once"):
        gallery.open_runs([f"x={workdir}", f"x={workdir}"])
