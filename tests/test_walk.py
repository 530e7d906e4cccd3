"""Walks between prompts: their ends are the prompts' own images, and mixtures are checked."""

import numpy as np
import pytest
from PIL import Image

from tests import made
from tests.export.test_export import make_run
from tests.programs import call, opened
from vpt_gen import walk
from vpt_gen.errors import UserError
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.walks import along, mixed, mixture


@pytest.fixture(scope="module")
def run(tiny_nets, tmp_path_factory):
    """A run whose tokens depend on the prompt, as those of an untrained transformer hardly do."""
    folder = tmp_path_factory.mktemp("walks")
    made.save_sharpened(tiny_nets, folder)
    return opened(make_run(folder / "run", folder))


@pytest.mark.slow
def test_a_walk_begins_and_ends_with_the_images_of_its_classes(run):
    first, middle, last = along(run, [1, 0], [], steps=3, num=2, seed=5)
    for images, label in ((first, 1), (last, 0)):
        # All steps have the noise of the last class.
        np.testing.assert_array_equal(images, mixed(run, [label, 0], [1.0, 0.0], 2, 5))
    own = plain_generation(run, np.array([0, 0]), 5).samples().images
    np.testing.assert_array_equal(last, own)
    assert (middle != first).any() and (middle != last).any()


@pytest.mark.slow
def test_the_program_writes_a_strip_and_an_animation(run, tmp_path):
    arguments = [f"--checkpoint={run.workdir}", f"--output={tmp_path}", "--num=2"]
    call(walk, *arguments, "--classes=bars,discs,bars", "--steps=3", needs_config=False)
    with (
        Image.open(tmp_path / "strip.png") as strip,
        Image.open(tmp_path / "animation.png") as film,
    ):
        assert strip.size == (5 * 66 + 2, 2 * 66 + 2)
        assert film.n_frames == 8  # Five steps, and back.
    call(walk, *arguments, "--mix=bars:1.5,discs:-0.5", needs_config=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--classes=bars"], "needs two or more of --classes"),
        (["--classes=bars,cubes"], "Class 'cubes' is unknown"),
        (["--mix=bars:1", "--classes=discs"], "--mix names its classes itself"),
    ],
)
def test_bad_walks_are_one_sentence(run, tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        call(
            walk, f"--checkpoint={run.workdir}", f"--output={tmp_path}", *given, needs_config=False
        )
    assert not list(tmp_path.glob("*.png"))


def test_mixtures_are_names_with_weights_that_sum_to_one():
    assert mixture(["a:b:0.25", "3:1", "x:-0.25"]) == (["a:b", "3", "x"], [0.25, 1.0, -0.25])
    for words, message in [
        (["a"], "'a' must be <class>:<weight>"),
        ([":1"], "':1' must be"),
        (["a:x"], "'a:x' must be"),
        (["a:0.5"], "sum to 0.5; they must sum to 1"),
        (["a:nan"], "they must sum to 1"),
    ]:
        with pytest.raises(UserError, match=message):
            mixture(words)
