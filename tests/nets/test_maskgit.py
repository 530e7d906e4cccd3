"""The MaskGIT transformer against the released one, and how ids and prompts enter it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.transformer import NO_CLASS

FILE = "transformer.npz"
TINY = MaskGIT(
    codebook_size=7,
    num_classes=3,
    num_tokens=4,
    num_layers=1,
    hidden_size=8,
    num_heads=2,
    intermediate_size=16,
    dropout_rate=0.5,
)
IDS = jnp.array([[8, 0, 6, -1, 3], [9, -1, -1, 2, 2]])


@functools.cache
def tiny_variables() -> dict:
    """Far from their start, where every position would give nearly the same."""
    variables = jax.jit(TINY.init)(jax.random.key(0), IDS[:, 1:])
    return jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, variables)


@functools.partial(jax.jit, static_argnames=("method", "deterministic"))
def run(variables, ids, prompts, rngs, method, deterministic):
    return TINY.apply(variables, ids, prompts, deterministic, rngs=rngs, method=method)


def tiny(ids, prompts=None, *, method="vocabulary_logits", deterministic=True, rngs=None):
    return run(tiny_variables(), ids, prompts, rngs, method, deterministic)


@functools.cache
def stages(row: int) -> dict:
    net, variables = golden.maskgit()
    ids = golden.load(FILE, "ids")[row : row + 1]
    _, state = net.apply(variables, ids, method="vocabulary_logits", capture_intermediates=True)
    return state["intermediates"]


def test_parameter_tree_is_the_released_one():
    net, variables = golden.maskgit()
    made = jax.eval_shape(net.init, jax.random.key(0), golden.load(FILE, "ids")[:, 1:])
    assert golden.layout(made) == golden.layout(variables)


@pytest.mark.parametrize("ids", ["ids", "ids_mask_explicit"])
def test_logits(ids):
    golden.check(FILE, "logits", golden.run_maskgit("vocabulary_logits", golden.load(FILE, ids)))


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.cases(FILE, r"mid_row(.+)"))
def test_stage_inside(name):
    row, *modules = name.split("/")
    stage = stages(int(row))
    for module in modules:
        stage = stage[module]
    # Attention and layers also give their keys and values.
    golden.check(FILE, f"mid_row{name}", jax.tree.leaves(stage["__call__"])[0])


@pytest.mark.slow
def test_mask_token_is_the_last_row_of_the_table():
    chex.assert_trees_all_equal(tiny(IDS), tiny(jnp.where(IDS == -1, TINY.vocab_size - 1, IDS)))


def test_visual_logits_are_the_codebook_columns():
    chex.assert_trees_all_close(
        tiny(IDS, method="visual_logits"), tiny(IDS)[..., : TINY.codebook_size], atol=1e-5
    )


@pytest.mark.parametrize("num_prompts", [1, 3])
def test_first_id_counts_only_without_prompts(num_prompts):
    prompts = jax.random.normal(jax.random.key(1), (2, num_prompts, TINY.hidden_size))
    other = IDS.at[:, 0].set(0)
    chex.assert_trees_all_equal(tiny(IDS, prompts), tiny(other, prompts))
    assert np.abs(tiny(IDS) - tiny(other))[:, 1:].max() > 1e-3


def test_prompt_takes_the_place_of_the_embedded_class_token():
    embedded = TINY.apply(tiny_variables(), IDS, method=lambda net, ids: net.embed(ids, True))
    chex.assert_trees_all_close(tiny(IDS, embedded[:, :1]), tiny(IDS), atol=1e-5)


def test_visual_logits_with_prompts_start_at_the_last_prompt():
    prompts = jax.random.normal(jax.random.key(1), (2, 3, TINY.hidden_size))
    everything = tiny(IDS, prompts)
    chex.assert_shape(everything, (2, 3 + TINY.num_tokens, TINY.vocab_size))
    chex.assert_trees_all_close(
        tiny(IDS, prompts, method="visual_logits"),
        everything[:, 2:, : TINY.codebook_size],
        atol=1e-5,
    )


def test_every_position_sees_every_other():
    changed = jnp.abs(tiny(IDS) - tiny(IDS.at[:, 2].set(1))).max(axis=-1)
    assert (changed > 1e-4).all()


@pytest.mark.slow
def test_dropout_acts_only_where_asked():
    def noisy(seed):
        return tiny(IDS, deterministic=False, rngs={"dropout": jax.random.key(seed)})

    chex.assert_trees_all_close(tiny(IDS), tiny(IDS, rngs={"dropout": jax.random.key(0)}))
    assert np.abs(noisy(0) - tiny(IDS)).max() > 1e-2
    assert np.abs(noisy(0) - noisy(1)).max() > 1e-2


@pytest.mark.slow
def test_a_call_gives_the_visual_rows_of_a_class_or_of_prompts():
    tokens, class_ids = IDS[:, 1:], IDS[:, 0] - TINY.codebook_size
    given = TINY.apply(tiny_variables(), tokens, class_ids=class_ids)
    chex.assert_trees_all_close(given, tiny(IDS, method="visual_logits")[:, 1:], atol=1e-5)
    prompts = jax.random.normal(jax.random.key(1), (2, 3, TINY.hidden_size))
    prompted = TINY.apply(tiny_variables(), tokens, prompts=prompts)
    chex.assert_trees_all_close(
        prompted, tiny(IDS, prompts, method="visual_logits")[:, 1:], atol=1e-5
    )


@pytest.mark.slow
def test_without_a_class_the_class_is_masked():
    tokens = IDS[:, 1:]
    masked = tiny(IDS.at[:, 0].set(-1), method="visual_logits")[:, 1:]
    chex.assert_trees_all_close(TINY.apply(tiny_variables(), tokens), masked, atol=1e-5)
    one = jnp.array([NO_CLASS, 1])
    mixed = TINY.apply(tiny_variables(), tokens, class_ids=one)
    chex.assert_trees_all_close(mixed[0], masked[0], atol=1e-5)
    assert np.abs(mixed[1] - masked[1]).max() > 1e-3
