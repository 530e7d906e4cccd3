"""A batch in parts: the update is that of the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import made
from vpt_gen.methods import adaptation, finetune, prompts
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import transformer
from vpt_gen.training.objectives import Objective
from vpt_gen.training.parts import Part, mean_and_gradient
from vpt_gen.training.tokens import visual_tokens

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
# Without dropout in the net: that of a part is drawn with the part's key.
NAR = MaskGIT(16, 2, 16, dropout_rate=0.0, **SIZES)
AR = GPT(16, 16, dropout_rate=0.0, **SIZES)


def test_parts_take_turns_with_the_rows():
    rows = {"a": jnp.arange(6), "b": jnp.arange(12).reshape(6, 2)}
    second = Part(3, 1).rows(rows)
    np.testing.assert_array_equal(second["a"], [1, 4])
    np.testing.assert_array_equal(second["b"], [[2, 3], [8, 9]])
    assert Part(1, 0).rows(rows) is rows


def test_every_part_draws_with_a_key_of_its_own():
    key = jax.random.key(0)
    drawn = [float(jax.random.uniform(Part(2, number).key(key))) for number in range(2)]
    assert drawn[0] != drawn[1]
    assert Part(1, 0).key(key) is key


def test_the_gradient_is_that_of_the_whole_batch():
    x = jnp.array([1.0, 2.0, 3.0, 40.0])

    def losses(params, part):
        return jnp.exp(params["w"] * part.rows(x) / 10) + params["unused"].sum()

    params = {"w": jnp.array(0.5), "unused": jnp.zeros((2, 3))}
    mean, gradient = mean_and_gradient(losses, params, 2)
    assert mean == pytest.approx(np.exp(0.05 * np.array(x)).mean(), rel=1e-6)
    expected = (np.array(x) / 10 * np.exp(0.05 * np.array(x))).mean()
    assert gradient["w"] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(gradient["unused"], np.ones((2, 3)))


class FirstPixels:
    """A tokenizer whose tokens are the first row of an image."""

    def apply(self, variables, images, method):
        del variables, method
        return images[:, :1, :, 0].astype("int32")


def test_tokens_of_images_keep_their_order():
    images = jnp.arange(6 * 2 * 2 * 3.0).reshape(6, 2, 2, 3)
    whole, parts = (visual_tokens(FirstPixels(), {}, {"image": images}, n) for n in (1, 3))
    np.testing.assert_array_equal(parts, whole)


def tasks(kind, accumulate):
    net = AR if kind == "ar" else NAR
    tokens = jnp.zeros((1, 16), jnp.int32)
    if kind == "pretraining":
        return transformer.make_task(
            net,
            Objective(net, 0.1, "cosine"),
            VQGAN(),
            {},
            optax.sgd(1.0),
            num_classes=2,
            num_tokens=16,
            class_dropout=0.5,
            decode_options={},
            accumulate=accumulate,
        )
    method = prompts.make_method(PromptGenerator(2, 3, 16, dropout_rate=0.3, num_instances=8))
    return adaptation.make_task(
        finetune.make_method(net, 2, "float32") if kind == "finetune" else method,
        net,
        Objective(net, 0.1, "cosine"),
        VQGAN(),
        {
            "transformer": made.new_params(net, tokens, seed=2, class_ids=tokens[:, 0]),
            "tokenizer": {},
        },
        optax.sgd(1.0),
        num_tokens=16,
        decode_options={},
        accumulate=accumulate,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nar", "ar", "finetune", "pretraining"])
def test_an_update_in_parts_is_that_of_the_whole_batch(kind):
    generator = np.random.default_rng(0)
    batch = {
        "tokens": generator.integers(16, size=(8, 16)).astype(np.uint16),
        "label": np.arange(8) % 2,
        "index": np.arange(8),
    }
    found = []
    for accumulate in (1, 4):
        task = tasks(kind, accumulate)
        state = task.init(jax.random.key(0))
        step = jax.jit(task.train_step)
        after, metrics = step(state, task.frozen, batch, jax.random.key(1))
        assert int(after.step) == 1
        # By plain gradient descent the difference is the gradient.
        found.append((jax.tree.map(jnp.subtract, after.params, state.params), metrics))
    (whole, of_whole), (parts, of_parts) = found
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(of_parts[name], of_whole[name], rtol=1e-5)
    for one, other in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
