"""A run and samples of version 0.1.0 (`tests/before`): they open, resume and measure as they did.

Made by commit 47ba613 with configs/demo.py, five digits per class, four prompt tokens, 16 updates;
checkpoints of updates 8 and 16 are kept.
"""

import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from vpt_gen import main
from vpt_gen.images.codec import to_uint8
from vpt_gen.runs.opened import open_run
from vpt_gen.runs.samples import class_bank, draw

pytestmark = pytest.mark.slow

BEFORE = pathlib.Path(__file__).parent / "before"


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(BEFORE / "run", folder)
    return folder


def test_it_samples_the_same_images(workdir):
    run = open_run(str(workdir))
    bank = class_bank(np.repeat(np.arange(10), 2))
    images = to_uint8(draw(run.sampler, run.params, bank, seed=0).images)
    for number, image in enumerate(images):
        file = BEFORE / "samples" / f"{number // 2}_{number % 2:04d}.png"
        difference = np.abs(image.astype(int) - np.asarray(Image.open(file).convert("RGB")))
        # Rounding depends on the number of devices and XLA's optimizations; tokens do not here.
        assert difference.max() <= 1


def test_it_resumes_to_the_same_prompts(workdir):
    run = open_run(str(workdir))
    expected, config = run.params, run.config  # With the fields that came since.
    shutil.rmtree(workdir / "checkpoints" / "16")
    config.mesh.data = -1  # The run was one device's.
    main.run(config, str(workdir))
    resumed = open_run(str(workdir)).params
    for found, wanted in zip(jax.tree.leaves(resumed), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=2e-4)
