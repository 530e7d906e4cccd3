"""The released way gives the numbers that ours gives: both do the same work."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.benchmark import programs, sizes
from vpt_gen.benchmark.request import Request
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

pytestmark = pytest.mark.slow

SMALL = {"num_layers": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
NAR = sizes.Size(MaskGIT(16, 5, 16, **SMALL, dropout_rate=0.0), VQGAN(32, (1, 2), 1, 8, 16), 8, 3)
AR = sizes.Size(GPT(16, 16, **SMALL), VQGAN(32, (1, 2), 1, 8, 16), 8, 3)


@pytest.fixture(autouse=True)
def less_alike(monkeypatch):
    """Weights so large that the parts of an image differ."""
    made = sizes.random_params

    def larger(*args, **kwargs):
        params = made(*args, **kwargs)
        return jax.tree.map(lambda x: x * 10.0 if x.ndim > 1 else x, params)

    monkeypatch.setattr(sizes, "random_params", larger)


def run(what, way, size=NAR, **options):
    program = programs.build(size, Request(what, way, "", batch=2, **options))
    return jax.jit(program.function)(*program.arguments)


@pytest.mark.parametrize("what", ["tokenize", "detokenize"])
def test_tokenizer(what):
    chex.assert_trees_all_close(run(what, "ours"), run(what, "reference"), atol=1e-4)


def test_logits_over_the_codebook():
    ours, theirs = run("forward", "ours"), run("forward", "reference")
    chex.assert_trees_all_close(ours, theirs[:, -NAR.num_tokens :, :16], atol=1e-4)


def test_a_tuning_step_on_the_same_tokens():
    """Ours from the tokens that the released step makes of its images."""
    reference = programs.build(NAR, Request("tune", "reference", "", batch=2))
    ours = programs.build(NAR, Request("tune", "ours", "", batch=2))
    state, batch, key = reference.arguments
    tokens = run("tokenize", "ours").reshape(2, -1)
    their_state, loss = jax.jit(reference.function)(state, batch, key)
    own, frozen, own_batch, _ = ours.arguments
    own = own.replace(params=state.params)
    own_state, metrics = jax.jit(ours.function)(own, frozen, own_batch | {"tokens": tokens}, key)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    chex.assert_trees_all_close(own_state.params, their_state.params, atol=1e-5)


def test_decoding_with_a_key_of_its_own():
    """Ours draws each image by a key of its own: compared are runs of one image."""
    ours = programs.build(NAR, Request("decode", "ours", "", batch=1, num_iterations=4))
    theirs = programs.build(NAR, Request("decode", "reference", "", batch=1, num_iterations=4))
    params, keys, prompts = ours.arguments
    tokens, _ = jax.jit(ours.function)(params, keys, prompts)
    all_tokens = jax.jit(theirs.function)(keys[0], prompts[0])
    np.testing.assert_array_equal(tokens, all_tokens[:, -1])


def test_cached_and_uncached_decoding_make_as_many_tokens():
    cached, _ = run("decode", "ours", AR, num_tokens=4)
    uncached = run("decode", "uncached", AR, num_tokens=4)
    assert cached.shape == (2, 4)
    assert uncached.shape == (2, 16)
    assert jnp.all((uncached >= 0) & (uncached < 16))
