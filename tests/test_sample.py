"""Sampling: same seed, same images, whatever else is sampled; and what a user may get wrong."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen import sample, sharding
from vpt_gen.errors import UserError
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import NO_INSTANCE, PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.sampler import Sampler, class_bank

TRANSFORMER = MaskGIT(16, 2, 16, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=32)
TOKENIZER = VQGAN(32, (1, 1), 1, 8, 16)
GENERATOR = PromptGenerator(3, 2, 16)


def make_sampler(batch_size=4, devices=2):
    frozen = {
        "transformer": TRANSFORMER.init(jax.random.key(0), jnp.zeros((1, 16), jnp.int32)),
        "tokenizer": TOKENIZER.init(jax.random.key(1), jnp.zeros((1, 8, 8, 3))),
    }
    frozen = {name: variables["params"] for name, variables in frozen.items()}
    options = {"num_iterations": 3, "choice_temperature": 4.5, "schedule": "cosine"}
    mesh = sharding.make_mesh(jax.devices()[:devices])
    return Sampler(GENERATOR, TRANSFORMER, TOKENIZER, frozen, 16, options, batch_size, mesh)


@pytest.fixture(scope="module")
def params():
    params = GENERATOR.init(jax.random.key(2), jnp.zeros((1,), jnp.int32))["params"]
    return jax.tree.map(lambda x: x + jax.random.normal(jax.random.key(3), x.shape), params)


def test_an_image_depends_on_its_class_number_and_seed_alone(params):
    many = make_sampler().sample(params, class_bank([0, 1, 1, 2, 0]), seed=5)
    chex.assert_shape(many.images, (5, 8, 8, 3))
    chex.assert_shape(many.tokens, (5, 16))
    few = make_sampler(batch_size=3, devices=1).sample(params, class_bank([1, 1]), seed=5)
    np.testing.assert_array_equal(few.tokens, many.tokens[1:3])
    assert (many.tokens[0] != many.tokens[4]).any()
    other = make_sampler().sample(params, class_bank([0, 1, 1, 2, 0]), seed=6)
    assert (other.tokens != many.tokens).any()


def test_every_token_is_revealed_once_and_is_an_image_token(params):
    samples = make_sampler().sample(params, class_bank([0, 1]), seed=0)
    assert set(np.unique(samples.revealed_at)) == {0, 1, 2}
    assert samples.tokens.min() >= 0
    assert samples.tokens.max() < 16


def test_a_marquee_that_stays_on_a_header_is_that_class(params):
    stay = np.array([[1.0, 0.0]] * 3)
    sampler = make_sampler()
    steered = sampler.sample(params, class_bank([0, 0], [2]), 5, stay)
    prompts = GENERATOR.apply({"params": params}, jnp.array([0, 2]))
    assert (prompts[0] != prompts[1]).any()
    changed = {
        **params,
        "prompt_embeddings": {
            "embedding": params["prompt_embeddings"]["embedding"]
            .at[0]
            .set(params["prompt_embeddings"]["embedding"][2])
        },
    }
    expected = sampler.sample(changed, class_bank([0, 0]), 5)
    np.testing.assert_array_equal(steered.tokens, expected.tokens)


@pytest.mark.parametrize(
    ("wanted", "numbers"), [([], [0, 1, 2]), (["cat"], [1]), (["2", "a dog"], [2, 0])]
)
def test_classes_by_name_or_number(wanted, numbers):
    assert sample.class_numbers(wanted, ["a dog", "cat", "7"]) == numbers


def test_a_name_goes_before_a_number():
    assert sample.class_numbers(["1"], ["1", "0"]) == [0]


def test_unknown_classes_and_marquees_are_named(tmp_path):
    with pytest.raises(UserError, match="'bird' is unknown to the checkpoint; it has: cat, dog"):
        sample.class_numbers(["bird"], ["cat", "dog"])
    for name, headers, message in [
        ("constant", 2, "takes no --headers"),
        ("instance_to_class", 1, "exactly one of --headers, or --instances"),
        ("zigzag", 1, "is not known"),
        (str(tmp_path / "none.npy"), 2, "No such file"),
    ]:
        with pytest.raises(UserError, match=message):
            sample.marquee_weights(name, 3, headers, 6.0)


def test_a_matrix_from_a_file(tmp_path):
    matrix = np.full((3, 2), 0.5)
    np.save(tmp_path / "w.npy", matrix)
    np.testing.assert_array_equal(
        sample.marquee_weights(str(tmp_path / "w.npy"), 3, 2, 6.0), matrix
    )
    with pytest.raises(UserError, match=r"must be \(iterations, headers\) = \(4, 2\)"):
        sample.marquee_weights(str(tmp_path / "w.npy"), 4, 2, 6.0)


def test_banks_of_classes_and_instances():
    none, labels = NO_INSTANCE, [0, 0, 1]
    for arguments, bank in [
        (([1, 0], [], [], [], "constant"), [[[1, none]], [[0, none]]]),
        (([1], [0, 2], [], [], "scroll"), [[[0, none], [2, none], [1, none]]]),
        (([], [], [2], labels, "constant"), [[[1, 2]]]),
        (
            ([], [], [2, 0], labels, "instance_to_class"),
            [
                [[1, 2], [1, none]],
                [[0, 0], [0, none]],
            ],
        ),
        (([], [1], [0], labels, "scroll"), [[[1, none], [0, 0]]]),
    ]:
        np.testing.assert_array_equal(sample.make_bank(*arguments), bank)


def test_instances_that_the_prompts_do_not_know_are_named():
    assert sample.instance_numbers(["2", "0"], 3) == [2, 0]
    with pytest.raises(UserError, match="know training images 0 to 2"):
        sample.instance_numbers(["3"], 3)
    with pytest.raises(UserError, match="know no training images"):
        sample.instance_numbers(["0"], 0)


def test_names_that_look_alike_to_a_file_system_get_files_of_their_own():
    assert sample.file_stems(["a dog", "Cat"]) == ["a_dog", "Cat"]
    assert sample.file_stems(["a dog", "a_dog"]) == ["0000_a_dog", "0001_a_dog"]
    assert len({stem.lower() for stem in sample.file_stems(["cat", "Cat"])}) == 2


def test_older_images_in_the_folder_are_told(params, tmp_path, capsys):
    samples = make_sampler().sample(params, class_bank([0, 1]), seed=0)
    sample.save_images(samples, ["a", "b", "c"], tmp_path)
    sample.save_images(samples, ["a", "b", "c"], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_0000.png", "b_0000.png"]
    assert "also holds" not in capsys.readouterr().out
    sample.save_images(samples, ["x", "b", "c"], tmp_path)
    assert "also holds 1 images" in capsys.readouterr().out
