"""What a tokenizer can show: the images, the figures, and what a user may get wrong."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from tests.programs import call
from vpt_gen import reconstruct
from vpt_gen.checkpoints import inception
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.errors import UserError
from vpt_gen.evaluation.fidelity import fidelity, pairs_picture
from vpt_gen.evaluation.image_sets import ImageSet, in_memory
from vpt_gen.evaluation.reconstructed import Reconstruction, reconstructed
from vpt_gen.evaluation.reconstructed import reconstruct as give_back
from vpt_gen.machine import sharding
from vpt_gen.machine.manifest import sha256

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokenizer(tiny_nets):
    return load_net(tiny_nets / "vqgan", "vqgan")


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    return ImageSet("noise", np.array([0, 0, 0, 1, 1]), ("a", "b"), in_memory(pixels), {})


def test_all_images_are_given_back_whatever_the_size_of_the_batches(tokenizer, images):
    mesh = sharding.make_mesh()
    pairs = give_back(tokenizer, images, 2, mesh)
    np.testing.assert_array_equal(pairs.given, np.stack(list(images.stream())))
    x = pairs.given / np.float32(255.0)
    expected = jax.jit(tokenizer.net.apply)({"params": tokenizer.params}, x)
    np.testing.assert_allclose(pairs.made / 255.0, np.clip(expected[0], 0, 1), atol=1 / 255)
    np.testing.assert_array_equal(pairs.tokens, expected[2].reshape(5, -1))
    again = np.concatenate(list(reconstructed(tokenizer, images, 5, mesh).stream()))
    assert np.abs(again.astype(int) - pairs.made.astype(int)).max() <= 1


def test_fidelity_is_over_all_pixels_and_tokens():
    given = np.full((2, 4, 4, 3), 100, np.uint8)
    made = given.copy()
    made[0] += 51  # A fifth of the range, in half of the values.
    pairs = Reconstruction(given, made, np.array([[0, 1], [3, 0]]))
    near = fidelity(pairs, codebook_size=6)
    assert near.psnr == pytest.approx(-10 * np.log10(0.2**2 / 2))
    assert near.codes_used == 0.5
    assert near.perplexity == pytest.approx(2**1.5)


def test_pairs_are_a_row_of_each_kind_a_class(images):
    pixels = np.stack(list(images.stream()))
    pairs = Reconstruction(pixels, pixels, np.zeros((5, 4), int))
    picture = pairs_picture(pairs, images, 2)
    # Two classes, two rows each, magnified to 64 pixels.
    assert picture.shape[0] == 4 * (64 + 4)


def run(tiny_nets, *arguments):
    tokenizer = f"--tokenizer={tiny_nets / 'vqgan'}"
    call(reconstruct, tokenizer, *arguments, needs_config=False)


def test_the_program_writes_pairs_and_figures(tiny_nets, images, tmp_path, capsys):
    for number, image in enumerate(images.stream()):
        folder = tmp_path / "images" / images.class_names[images.labels[number]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    output = tmp_path / "out"
    words = [f"--images={tmp_path / 'images'}", f"--output={output}"]
    words += [f"--weights_dir={tmp_path}"]
    with pytest.raises(UserError, match="vqgan does not say of which size its images were: give"):
        run(tiny_nets, *words)
    run(tiny_nets, *words, "--image_size=64")
    record = json.loads((output / "metrics.json").read_text())
    assert record["figures"]["frechet"]["value"] > 0
    assert record["protocol"]["command"].startswith("python -m vpt_gen.reconstruct --tokenizer=")
    assert record["protocol"]["generated"]["images"] == "5 reconstructed images"
    said = capsys.readouterr().out
    assert "copies" not in said
    # The program has no such flag.
    assert "--features" not in said and f"Put {inception.ADDRESS} into that folder" in said
    assert Image.open(output / "pairs.png").size[0] > 64
    assert record["files"] == {"pairs.png": sha256((output / "pairs.png").read_bytes())}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --images=<folder> or --config=<file>"),
        (["--images=nowhere"], "nowhere"),
        (["--config=configs/demo.py", "--config.data.image_size=31"], "multiple of"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(tiny_nets, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        run(tiny_nets, *arguments, f"--output={tmp_path}")


def test_chosen_images_are_reconstructed_alone(tokenizer, images):
    given_back = reconstructed(tokenizer, images, 5, sharding.make_mesh())
    whole, chosen = np.concatenate(list(given_back.stream())), np.array([0, 1, 0, 0, 1], bool)
    some = np.stack(given_back.pictures(chosen)).astype(int)
    assert np.abs(some - whole[chosen]).max() <= 1


@pytest.mark.parametrize(
    ("path", "about", "size"),
    [
        ("mine", {"config": {"data": {"image_size": 48}}}, 48),
        ("maskgit512_tokenizer", {}, 512),
        ("llamagen_f16", {}, 256),  # Of several backbones, the one of the smallest images.
    ],
)
def test_images_are_as_large_as_those_of_the_tokenizer_s_training(tokenizer, path, about, size):
    tokenizer = dataclasses.replace(tokenizer, about=about)
    assert reconstruct.own_size(tokenizer, path) == size
