"""Sampling: same seed, same images, whatever else is sampled; and what a user may get wrong."""

import functools
import os
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests import made
from tests.programs import call, flags_of
from vpt_gen import sample
from vpt_gen.data import sampled
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine import sharding
from vpt_gen.machine.files import write_text
from vpt_gen.methods import prompts
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import NO_INSTANCE, PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.runs import conditions, opened, request, saved
from vpt_gen.runs.generation import (
    even_class_ids,
    instances_of,
    proportional_class_ids,
    undrawn,
)
from vpt_gen.runs.samples import class_bank, draw
from vpt_gen.runs.token_sampler import TokenSampler

TRANSFORMER = MaskGIT(16, 2, 16, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=32)
TOKENIZER = VQGAN(32, (1, 1), 1, 8, 16)
GENERATOR = PromptGenerator(3, 2, 16)
METHOD = prompts.make_method(GENERATOR)


@functools.cache
def frozen_params():
    return {
        "transformer": made.new_params(TRANSFORMER, np.zeros((1, 16), np.int32)),
        "tokenizer": made.new_params(TOKENIZER, np.zeros((1, 8, 8, 3)), seed=1),
    }


@functools.cache
def make_sampler(batch_size=4, devices=2):
    frozen = frozen_params()
    options = {"num_iterations": 3, "choice_temperature": 4.5, "schedule": "cosine"}
    mesh = sharding.make_mesh(jax.devices()[:devices])
    return TokenSampler(METHOD, TRANSFORMER, TOKENIZER, frozen, 16, options, batch_size, 2, mesh)


@pytest.fixture(scope="module")
def params():
    params = made.new_params(GENERATOR, np.zeros(1, np.int32), seed=2)
    return jax.tree.map(lambda x: x + jax.random.normal(jax.random.key(3), x.shape), params)


@pytest.mark.slow
def test_an_image_depends_on_its_class_number_and_seed_alone(params):
    many = draw(make_sampler(), params, class_bank([0, 1, 1, 2, 0]), seed=5)
    chex.assert_shape(many.images, (5, 8, 8, 3))
    chex.assert_shape(many.tokens, (5, 16))
    few = draw(make_sampler(batch_size=3, devices=1), params, class_bank([1, 1]), seed=5)
    np.testing.assert_array_equal(few.tokens, many.tokens[1:3])
    assert (many.tokens[0] != many.tokens[4]).any()
    other = draw(make_sampler(), params, class_bank([0, 1, 1, 2, 0]), seed=6)
    assert (other.tokens != many.tokens).any()


@pytest.mark.slow
def test_every_token_is_revealed_once_and_is_an_image_token(params):
    samples = draw(make_sampler(), params, class_bank([0, 1]), seed=0)
    assert set(np.unique(samples.revealed_at)) == {0, 1, 2}
    assert samples.tokens.min() >= 0
    assert samples.tokens.max() < 16


@pytest.mark.slow
def test_a_marquee_that_stays_on_a_header_is_that_class(params):
    stay = np.array([[1.0, 0.0]] * 3)
    sampler = make_sampler()
    steered = draw(sampler, params, class_bank([0, 0], [2]), 5, stay)
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
    expected = draw(sampler, changed, class_bank([0, 0]), 5)
    np.testing.assert_array_equal(steered.tokens, expected.tokens)


@pytest.mark.parametrize(
    ("wanted", "numbers"), [([], [0, 1, 2]), (["cat"], [1]), (["2", "a dog"], [2, 0])]
)
def test_classes_by_name_or_number(wanted, numbers):
    assert conditions.class_numbers(wanted, ["a dog", "cat", "7"]) == numbers


def test_a_name_goes_before_a_number():
    assert conditions.class_numbers(["1"], ["1", "0"]) == [0]


@pytest.mark.slow
def test_classes_beside_instances_are_refused():
    given = ("--checkpoint=tests/before/run", "--classes=1", "--instances=0")
    with pytest.raises(UserError, match="--classes and --instances exclude each other"):
        call(sample, *given)


def asked(run, *given, classes=(), instances=()):
    """What a command line asks of a run."""
    with flags_of(sample, "--checkpoint=run", *given):
        return request.flagged_generation(run, list(classes), list(instances))


def test_headers_beside_instances_that_go_to_their_classes_are_refused():
    facts = {"class_names": ["cat", "dog"], "instance_labels": [0, 1]}
    sampler = types.SimpleNamespace(method=types.SimpleNamespace(num_classes=2))
    run = types.SimpleNamespace(facts=facts, token_sampler=sampler, has_prompts=True)
    with pytest.raises(UserError, match="takes no --headers with training images"):
        asked(run, "--headers=cat", "--marquee=instance_to_class", instances=[1])


def test_a_cutoff_that_would_change_nothing_is_refused():
    run = types.SimpleNamespace(has_prompts=True)
    with pytest.raises(UserError, match="--cutoff needs --marquee=instance_to_class"):
        asked(run, "--cutoff=3", "--marquee=scroll", classes=[0])


def test_class_names_match_if_they_look_the_same():
    names = ["cafe\u0301", "7", "black_tea"]
    assert conditions.class_numbers(["caf\xe9", "7", "2"], names) == [0, 1, 2]
    with pytest.raises(UserError, match="it has: .*; did you mean 'black_tea'"):
        conditions.class_numbers(["Black tea"], names)


def test_unknown_classes_and_marquees_are_named(tmp_path):
    with pytest.raises(UserError, match="'bird' is unknown to the checkpoint; it has: cat, dog"):
        conditions.class_numbers(["bird"], ["cat", "dog"])
    for name, headers, message in [
        ("constant", 2, "takes no --headers"),
        ("instance_to_class", 1, "exactly one of --headers, or --instances"),
        ("zigzag", 1, "is not known"),
        (str(tmp_path / "none.npy"), 2, "No such file"),
    ]:
        with pytest.raises(UserError, match=message):
            conditions.marquee_weights(name, 3, headers, 6.0)


def test_a_matrix_from_a_file(tmp_path):
    matrix = np.full((3, 2), 0.5)
    np.save(tmp_path / "w.npy", matrix)
    np.testing.assert_array_equal(
        conditions.marquee_weights(str(tmp_path / "w.npy"), 3, 2, 6.0), matrix
    )
    with pytest.raises(UserError, match=r"must be \(iterations, headers\) = \(4, 2\)"):
        conditions.marquee_weights(str(tmp_path / "w.npy"), 4, 2, 6.0)


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
        np.testing.assert_array_equal(conditions.make_bank(*arguments), bank)


def test_instances_that_the_prompts_do_not_know_are_named():
    assert conditions.instance_numbers(["2", "0"], 3) == [2, 0]
    with pytest.raises(UserError, match="have training images 0 to 2"):
        conditions.instance_numbers(["3"], 3)
    with pytest.raises(UserError, match="have no training images"):
        conditions.instance_numbers(["0"], 0)


def test_names_that_look_alike_to_a_file_system_get_files_of_their_own():
    assert saved.file_stems(["a dog", "Cat"]) == ["a_dog", "Cat"]
    assert saved.file_stems(["a dog", "a_dog"]) == ["0000_a_dog", "0001_a_dog"]
    assert len({stem.lower() for stem in saved.file_stems(["cat", "Cat"])}) == 2
    assert saved.file_stems(["caf\u00e9", "cafe\u0301"]) == ["0000_caf\u00e9", "0001_caf\u00e9"]
    assert saved.file_stems(["stra\u00dfe", "STRASSE"])[0] == "0000_stra\u00dfe"


@pytest.mark.parametrize("name", ["a" * 250, "\u84dd" * 84, "\u00e9" * 120, "a b" * 80])
def test_long_names_are_cut_to_what_a_file_can_be_called(name, tmp_path):
    stems = saved.file_stems([name, name + "a", "cat"])
    assert len(set(stems)) == 3
    for file in saved.file_names(np.array([0, 1, 2]), [name, name + "a", "cat"]):
        write_text(tmp_path / file, "")
    assert len(list(tmp_path.iterdir())) == 3
    (alone,) = saved.file_stems([name])
    assert 90 < len(alone.encode()) <= 100 and alone[:30] == name[:30].replace(" ", "_")


def test_letters_that_the_locale_cannot_spell_are_left_out(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsencode", lambda text: text.encode("latin-1"))
        stems = saved.file_stems(["\u84dd", "\u7ea2", "abc"])
    assert stems == ["0000__", "0001__", "0002_abc"]


@pytest.mark.slow
def test_older_images_in_the_folder_are_told_and_not_listed(params, tmp_path, capsys):
    images = draw(make_sampler(), params, class_bank([0, 1]), seed=0).images
    shown = []

    def save(class_names, seed):
        def stream(wanted):
            return iter([images[wanted]])

        class_ids, record = np.array([0, 1]), {"seed": seed}
        saved.save_images(
            stream, 2, class_ids, class_names, tmp_path, record, "--folder", shown.append
        )

    save(["a", "b", "c"], 0)
    save(["a", "b", "c"], 0)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a_0000.png", "b_0000.png"]
    assert "also holds" not in capsys.readouterr().out
    save(["x y", "b", "c"], 1)
    assert "also holds 1 other images" in capsys.readouterr().out
    note = sampled.read(tmp_path)
    assert note.classes == {"x_y_0000.png": "x y", "b_0000.png": "b"}
    assert note.record == {"seed": 1}
    picture = grids.class_grid(images, np.array([0, 1]), ["x y", "b"])
    np.testing.assert_array_equal(shown[2], picture)


def test_the_picture_shows_as_many_images_as_fit_in_memory(tmp_path, monkeypatch):
    """And comes before the note: what cannot be shown is drawn once, and resumes."""
    class_ids = np.repeat(np.arange(101), 11)
    images, read, drawn = np.zeros((len(class_ids), 2, 2, 3), np.float32), [], []

    def stream(wanted):
        drawn.append(int(wanted.sum()))
        return iter([images[wanted]])

    def read_images(folder, names):
        read.append(len(names))
        return np.zeros((len(names), 2, 2, 3), np.float32)

    def save(show):
        names = [str(c) for c in range(101)]
        saved.save_images(stream, len(images), class_ids, names, tmp_path, {}, "--folder", show)

    def full(picture):
        raise OSError("no space")

    monkeypatch.setattr(saved, "read_images", read_images)
    with pytest.raises(OSError, match="no space"):
        save(full)
    assert read == [1000] and not (tmp_path / sampled.FILE).exists()
    save(lambda picture: None)
    assert drawn == [len(images), 0] and (tmp_path / sampled.FILE).exists()


def decoding():
    return ConfigDict({"num_iterations": 12, "choice_temperature": 4.5, "schedule": "cosine"})


def test_decoding_options_from_the_command_line():
    decode = decoding()
    for setting in ("num_iterations=8", "choice_temperature=2", "schedule=square"):
        opened.set_option(decode, setting)
    assert decode.to_dict() == {
        "num_iterations": 8,
        "choice_temperature": 2.0,
        "schedule": "square",
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("iterations=8", "no option 'iterations'; it has choice_temperature, num_iterations"),
        ("num_iterations=8.5", "num_iterations must be a value like 12"),
        ("num_iterations", "must be a value like 12"),
        ("choice_temperature=warm", "must be a value like 4.5"),
    ],
)
def test_decoding_options_that_cannot_be_are_named(setting, message):
    with pytest.raises(UserError, match=message):
        opened.set_option(decoding(), setting)


@pytest.mark.slow
def test_a_stream_is_all_samples_batch_by_batch(params):
    sampler = make_sampler()
    bank = class_bank([0, 1, 1, 2, 0])
    whole = draw(sampler, params, bank, seed=5)
    parts = list(sampler.stream(params, bank, seed=5))
    assert [len(part.images) for part in parts] == [4, 1]
    np.testing.assert_array_equal(np.concatenate([p.images for p in parts]), whole.images)
    np.testing.assert_array_equal(np.concatenate([p.class_ids for p in parts]), whole.class_ids)


@pytest.mark.slow
def test_a_stream_that_skips_is_the_rest_to_the_last_digit(params):
    sampler = make_sampler()
    bank = class_bank([0, 1, 1, 2, 0])
    whole = draw(sampler, params, bank, seed=5)
    for skip in (0, 3, 4, 5):
        parts = list(sampler.stream(params, bank, seed=5, wanted=np.arange(5) >= skip))
        for name in ("images", "tokens", "revealed_at", "class_ids"):
            rest = [row for part in parts for row in getattr(part, name)]
            assert len(rest) == 5 - skip
            np.testing.assert_array_equal(rest, getattr(whole, name)[skip:].tolist())


def test_the_training_images_of_a_class_take_turns():
    facts = {"instance_labels": [1, 0, 1, 0, 0], "class_names": ["ant", "bee"]}
    assert instances_of(np.array([0, 0, 0, 0, 1, 1, 1]), facts).tolist() == [1, 3, 4, 1, 0, 2, 0]


def test_classes_without_a_training_image_start_from_all_and_are_named(capsys):
    facts = {"instance_labels": [2, 0, 2], "class_names": ["ant", "bee", "cat"]}
    assert instances_of(np.array([0, 1, 1, 1, 1, 2]), facts).tolist() == [1, 0, 1, 2, 0, 0]
    assert "No training image is of bee: their images start from" in capsys.readouterr().out


def test_classes_that_are_not_drawn_are_named():
    assert undrawn(even_class_ids(7, 3), "abc", "Raise it.") == ""
    assert undrawn(np.array([0, 0, 2]), "abc", "Raise it.") == "None of 3 images to draw is of b."
    assert undrawn(even_class_ids(3, 9), "abcdefghi", "Raise it.") == (
        "None of 3 images to draw is of d, e, f, g, h and 1 more. Raise it."
    )


def test_images_are_shared_out_over_the_classes():
    assert even_class_ids(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    counts = np.bincount(proportional_class_ids(1000, np.array([500, 250, 0, 249, 1])), minlength=5)
    assert counts.tolist() == [500, 250, 0, 249, 1]
    # Remainders 0.5, 0.3, 0.2 of quotas 2.5, 1.3, 1.2.
    assert np.bincount(proportional_class_ids(5, np.array([25, 13, 12]))).tolist() == [3, 1, 1]
    assert proportional_class_ids(1, np.array([1, 1])).tolist() == [0]
