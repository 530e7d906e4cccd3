"""LlamaGen's transformer against the released one: classes, prompts, gradients, caches."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_llamagen as golden
from vpt_gen.nets.llamagen import rotation_table
from vpt_gen.training.objectives import Examples, Objective

pytestmark = [golden.needed, pytest.mark.slow]
FILE = "gpt.npz"
# Ways in which prompts enter -> the ends of their arrays' names.
ENDS = {"plain": "", "identity": "_identity", "zero": "_logS"}
ways = pytest.mark.parametrize("rows", ENDS)


def load(name, file=FILE):
    return jnp.asarray(golden.load(file, name))


def logits(net, tokens, **condition):
    return golden.run(net, "__call__", tokens, **condition)


def test_logits_of_classes():
    net, tokens = golden.transformer(), load("tokens")
    found = logits(net, tokens, class_ids=load("class_ids"))
    golden.check(FILE, "logits", found)
    nll = -golden.log_likelihood(found, tokens)
    golden.check(FILE, "nll", nll)
    golden.check(FILE, "loss", nll.mean())
    real = load("class_ids_real")
    golden.check(FILE, "logits_cond", logits(net, tokens, class_ids=real))
    golden.check(FILE, "logits_uncond", logits(net, tokens, class_ids=jnp.full_like(real, -1)))


def test_a_short_sequence():
    tokens = load("tokens")[:, : load("logits_short").shape[1]]
    found = logits(golden.transformer(), tokens, class_ids=load("class_ids"))
    golden.check(FILE, "logits_short", found)


def test_the_table_of_rotations():
    sizes = golden.config(golden.TRANSFORMER)
    table = rotation_table((sizes["grid"],) * 2, sizes["dim"] // sizes["n_head"])
    # The first row is of no token; the second, of no rotation, is ours.
    golden.check(FILE, "rope_table", np.delete(table, 1, axis=0))
    np.testing.assert_array_equal(table[1], np.tile([1.0, 0.0], (table.shape[1], 1)))


def path_inside(name):
    """Where an array from inside the reference is: dbg_block1_ffn -> block_1, mlp_out."""
    block, part = re.fullmatch(r"dbg_(?:prompt_)?(?:block(\d+)_?)?(\w*)", name).groups()
    if block is None:
        return {"norm": ("final_norm",)}[part]
    return (f"block_{block}", *{"": (), "attention": ("attention",), "ffn": ("mlp_out",)}[part])


@pytest.mark.parametrize("start", ["dbg_", "dbg_prompt_"])
def test_stages_inside(start):
    condition = {"class_ids": load("class_ids")}
    if start == "dbg_prompt_":
        condition = {"prompts": load("prompts")}
    net = golden.transformer(prompt_rotation="plain")
    stages = golden.inside(net, load("tokens"), **condition)
    for name in golden.names(FILE, start):
        if name.startswith("dbg_cache") or name.startswith("dbg_prompt_") != (start != "dbg_"):
            continue
        stage = functools.reduce(lambda at, part: at[part], path_inside(name), stages)
        output = stage["__call__"][0]
        # Layers and attention return their keys and values too.
        golden.check(FILE, name, output[0] if isinstance(output, tuple) else output)


def with_a_cache(net, tokens, **condition):
    """Logits of one token at a time, each with what the cache has of those before it."""
    module, variables = net

    @jax.jit
    def run(variables):
        prefix, first = module.apply(variables, **condition, method="prefix")
        _, fresh = module.apply(variables, prefix, method="hidden_states")
        length, count = fresh[0].keys.shape[2], tokens.shape[1]
        cache = jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, 0), (0, count - 1), (0, 0))), fresh)

        def step(carry, inputs):
            x, cache = carry
            token, n = inputs
            row, cache = module.apply(variables, x, cache, length - 1 + n, method="run")
            x = module.apply(variables, token[:, None], first + n, method="embed")
            return (x, cache), row[:, 0]

        x = module.apply(variables, prefix, method="first_input")
        inputs = tokens.T, jnp.arange(count)
        (_, cache), rows = jax.lax.scan(step, (x, cache), inputs)
        return jnp.moveaxis(rows, 0, 1), cache

    return run(variables)


def test_one_token_a_call_with_a_cache():
    found, cache = with_a_cache(golden.transformer(), load("tokens"), class_ids=load("class_ids"))
    golden.check(FILE, "logits_cached", found)
    golden.check(FILE, "dbg_cache0_k", cache[0].keys)
    golden.check(FILE, "dbg_cache0_v", cache[0].values)


@ways
def test_prompts_with_a_cache(rows):
    """The reference's own logits, which it made without one."""
    found, _ = with_a_cache(
        golden.transformer(prompt_rotation=rows), load("tokens"), prompts=load("prompts")
    )
    golden.check(FILE, f"logits_prompt{ENDS[rows]}", found)


def loss_of(net, tokens, prompts):
    module, variables = net
    prompts = jnp.broadcast_to(prompts, (len(tokens), *prompts.shape[-2:]))
    examples = Examples(tokens, tokens, jnp.ones(tokens.shape))
    return Objective(module, 0.0).losses(variables["params"], examples, prompts=prompts).mean()


def check_gradient(net, prompts, loss, gradient):
    value_and_grad = jax.jit(jax.value_and_grad(functools.partial(loss_of, net, load("tokens"))))
    value, found = value_and_grad(prompts)
    if loss:
        golden.check(FILE, loss, value)
    golden.check(FILE, gradient, found)


@ways
def test_logits_of_prompts(rows):
    net = golden.transformer(prompt_rotation=rows)
    found = logits(net, load("tokens"), prompts=load("prompts"))
    golden.check(FILE, f"logits_prompt{ENDS[rows]}", found)


@ways
@pytest.mark.parametrize("kind", ["prompt", "prompt_shared"])
def test_loss_and_gradient_of_prompts(rows, kind):
    prompts = load(kind.replace("prompt", "prompts"))
    net, end = golden.transformer(prompt_rotation=rows), ENDS[rows]
    check_gradient(net, prompts, f"loss_{kind}{end}", f"grad_{kind}{end}")


def class_vectors(class_ids):
    return golden.transformer()[1]["params"]["condition_embeddings"]["embedding"][class_ids]


@pytest.mark.parametrize("rows", ["zero", "plain"])
def test_one_prompt_is_a_class(rows):
    net, ids = golden.transformer(prompt_rotation=rows), golden.load(FILE, "class_ids")
    vectors = jnp.asarray(class_vectors(ids))[:, None]
    golden.check(FILE, "logits", logits(net, load("tokens"), prompts=vectors))
    check_gradient(net, vectors, "loss", "grad_class_vector")


def test_equal_prompts_are_one_class():
    """Any number of them; without the correction of their weight they are something else."""
    ids = golden.load(FILE, "class_ids")
    count = load("prompts").shape[1]
    vectors = jnp.repeat(jnp.asarray(class_vectors(ids))[:, None], count, axis=1)
    tokens = load("tokens")
    golden.check(FILE, "logits", logits(golden.transformer(), tokens, prompts=vectors))
    plain = logits(golden.transformer(prompt_rotation="plain"), tokens, prompts=vectors)
    assert count == 1 or np.abs(plain - load("logits")).max() > 0.01


def test_grouped_keys():
    net = golden.transformer("gqa")
    file, tokens, ids = "gqa.npz", load("tokens", "gqa.npz"), load("class_ids", "gqa.npz")
    golden.check(file, "logits", logits(net, tokens, class_ids=ids))
    golden.check(file, "logits", with_a_cache(net, tokens, class_ids=ids)[0])


@pytest.mark.parametrize(
    ("name", "array"), [("c2i_XXL_384", "logits_xxl"), ("train_layout", "logits_train")]
)
def test_other_layouts_of_files(name, array):
    file = "layouts.npz"
    found = logits(
        golden.transformer(name), load("tokens", file), class_ids=load("class_ids", file)
    )
    golden.check(file, array, found)


@pytest.mark.parametrize("name", golden.CONFIGS)
def test_sizes_come_from_the_tensors(name):
    net, sizes = golden.transformer(name)[0], golden.config(name)
    assert net.codebook_size == sizes["vocab_size"]
    assert net.num_classes == sizes["num_classes"]
    assert net.num_tokens == sizes["block_size"]
    assert net.num_layers == sizes["n_layer"]
    assert net.hidden_size == sizes["dim"]
    assert net.intermediate_size == sizes["ffn_hidden"]
    assert (net.num_heads, net.cache_heads) == (sizes["n_head"], sizes["n_kv_head"])
