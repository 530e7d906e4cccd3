"""What a tokenizer can show: the images, the figures, and what a user may get wrong."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from vpt_gen import reconstruct, sharding
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.reconstructed import batches, reconstructed


@pytest.fixture(scope="module")
def tokenizer(tiny_nets):
    return load_net(tiny_nets / "vqgan", "vqgan")


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    return ImageSet("noise", np.array([0, 0, 0, 1, 1]), ("a", "b"), lambda: iter(pixels), {})


def together(parts):
    return map(np.concatenate, zip(*parts, strict=True))


def test_batches_are_all_images_whatever_their_size(tokenizer, images):
    mesh = sharding.make_mesh()
    given, made, tokens = together(batches(tokenizer, images.stream(), 2, mesh))
    np.testing.assert_array_equal(given, np.stack(list(images.stream())))
    x = given / np.float32(255.0)
    expected = jax.jit(tokenizer.net.apply)({"params": tokenizer.params}, x)
    np.testing.assert_allclose(made / 255.0, np.clip(expected[0], 0, 1), atol=1 / 255)
    np.testing.assert_array_equal(tokens, expected[2].reshape(5, -1))
    again = np.concatenate(list(reconstructed(tokenizer, images, 5, mesh).stream()))
    assert np.abs(again.astype(int) - made.astype(int)).max() <= 1


def test_fidelity_is_over_all_pixels_and_tokens(tokenizer, images):
    mesh = sharding.make_mesh()
    near = reconstruct.fidelity(tokenizer, images, mesh)
    given, made, tokens = together(batches(tokenizer, images.stream(), 5, mesh))
    error = np.mean((given / 255.0 - made / 255.0) ** 2)
    assert near.psnr == pytest.approx(-10 * np.log10(error), abs=1e-3)
    used = np.unique(tokens)
    assert near.codes_used == len(used) / tokenizer.net.codebook_size
    assert 1 <= near.perplexity <= len(used)


def test_pairs_are_a_row_of_each_kind_a_class(tokenizer, images):
    picture = reconstruct.draw_pairs(tokenizer, images, 2, sharding.make_mesh())
    # Two classes, two rows each, magnified to 64 pixels.
    assert picture.shape[0] == 4 * (64 + 4)


def run(tiny_nets, *arguments):
    command = [sys.executable, "-m", "vpt_gen.reconstruct"]
    command += [f"--tokenizer={tiny_nets / 'vqgan'}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_program_writes_pairs_and_figures(tiny_nets, images, tmp_path):
    for number, image in enumerate(images.stream()):
        folder = tmp_path / "images" / images.class_names[images.labels[number]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    output = tmp_path / "out"
    done = run(tiny_nets, f"--images={tmp_path / 'images'}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    record = json.loads((output / "metrics.json").read_text())
    assert record["figures"]["frechet"]["value"] > 0
    assert record["protocol"]["command"].startswith("python -m vpt_gen.reconstruct --tokenizer=")
    assert Image.open(output / "pairs.png").size[0] > 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --images=<folder> or --config=<file>"),
        (["--images=nowhere"], "nowhere"),
        (["--config=configs/demo.py", "--config.data.image_size=31"], "multiple of"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(tiny_nets, tmp_path, arguments, message):
    done = run(tiny_nets, *arguments, f"--output={tmp_path}")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr
