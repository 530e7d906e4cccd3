"""The GPT against the released one: with a class, with prompts before it, cached and not."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_ar, made
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.transformer import NO_CLASS
from vpt_gen.training.objectives import Examples, Objective

pytestmark = pytest.mark.slow

FILE = "gpt.npz"
TINY = GPT(
    codebook_size=7,
    num_positions=6,
    num_layers=2,
    hidden_size=8,
    num_heads=2,
    intermediate_size=16,
    dropout_rate=0.5,
)
TOKENS = jnp.array([[1, 2, 3, 4, 5, 6], [6, 0, 5, 1, 4, 2]])
CLASSES = jnp.array([3, 0])


@functools.cache
def tiny_variables():
    variables = made.new_variables(TINY, TOKENS, class_ids=CLASSES)
    return jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, variables)


def load(name):
    return jnp.asarray(golden_ar.load(FILE, name))


def golden_logits(embeddings, variables=None):
    module, ours = golden_ar.gpt()
    tokens = load("gpt_tokens")
    return module.apply(
        variables or ours, tokens[:, 1:], prompts=embeddings, class_ids=tokens[:, 0]
    )


@golden_ar.needed
def test_logits_of_a_class():
    tokens = load("gpt_tokens")
    logits = golden_ar.run(golden_ar.gpt(), "__call__", tokens[:, 1:], class_ids=tokens[:, 0])
    golden_ar.check(FILE, "logits", logits)
    likelihood = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], axis=-1)
    golden_ar.check(FILE, "nll", -likelihood[..., 0])
    golden_ar.check(FILE, "loss", -likelihood.mean())


@pytest.mark.parametrize("null_class", [-1, 5])
def test_no_class_stays_what_it_was_if_classes_are_added(null_class):
    net, params = TINY.clone(null_class=null_class), tiny_variables()["params"]
    adapted = {**params, "class_embeddings": {"embedding": jnp.ones((2, 8))}}
    nothing, _ = net.apply({"params": params}, method="unconditional_prefix")
    classes = jnp.array([NO_CLASS, 0])
    prefix, _ = net.apply({"params": adapted}, None, classes, method="prefix")
    np.testing.assert_array_equal(prefix[0], nothing[0])
    assert (prefix[1] != nothing[0]).all()


@golden_ar.needed
def test_a_short_sequence():
    tokens = load("gpt_tokens")[:, : load("logits_short").shape[1] + 1]
    logits = golden_ar.run(golden_ar.gpt(), "__call__", tokens[:, 1:], class_ids=tokens[:, 0])
    golden_ar.check(FILE, "logits_short", logits)


@golden_ar.needed
def test_logits_with_the_releases_own_embeddings():
    tokens, embeddings = load("gpt_tokens"), load("embeddings")
    module, variables = golden_ar.gpt()

    def everything(net):
        prefix, first = net.prefix(embeddings, tokens[:, 0])
        x = jnp.concatenate([prefix, net.embed(tokens[:, 1:-1], first)], axis=1)
        return net.run(x)[0]

    golden_ar.check(FILE, "logits_prompt", module.apply(variables, method=everything))
    embeddings = jnp.broadcast_to(load("embeddings_shared"), embeddings.shape)
    golden_ar.check(FILE, "logits_prompt_shared", module.apply(variables, method=everything))
    embeddings = load("embeddings")
    visual = np.s_[:, embeddings.shape[1] :]
    golden_ar.check(FILE, "logits_prompt", golden_logits(embeddings), part=visual)


def path_inside(name):
    """Where a debugging array of the reference is in our net: dbg_block1_attn -> block_1, ..."""
    block, part = re.fullmatch(r"dbg_(?:block(\d+)_?)?(\w*)", name).groups()
    if block is None:
        return {"ln_f": ("final_ln",)}[part]
    return (f"block_{block}", *{"": (), "attn": ("attention",), "mlp": ("mlp_out",)}[part])


@golden_ar.needed
def test_stages_inside():
    tokens, embeddings = load("gpt_tokens")[:1], load("embeddings")[:1]
    module, variables = golden_ar.gpt()
    prefix, first = module.apply(variables, embeddings, tokens[:, 0], method="prefix")
    inside = module.apply(variables, tokens[:, 1:-1], first, method="embed")
    names = golden_ar.debugged(FILE)
    golden_ar.check(FILE, "dbg_embedded", jnp.concatenate([prefix, inside], axis=1))
    _, state = module.apply(
        variables, tokens[:, 1:], embeddings, tokens[:, 0], capture_intermediates=True
    )
    for name in set(names) - {"dbg_embedded"}:
        stage = state["intermediates"]
        for part in path_inside(name):
            stage = stage[part]
        output = stage["__call__"][0]
        # Blocks and attention return their keys and values too.
        golden_ar.check(FILE, name, output[0] if isinstance(output, tuple) else output)


@golden_ar.needed
@pytest.mark.parametrize("kind", ["prompt", "prompt_shared"])
def test_loss_and_gradient_of_the_embeddings(kind):
    name = kind.replace("prompt", "embeddings")
    tokens = load("gpt_tokens")
    module, variables = golden_ar.gpt()

    @jax.jit
    @jax.value_and_grad
    def loss(embeddings):
        shape = (len(tokens), *embeddings.shape[-2:])
        inputs = tokens[:, 1:]
        examples = Examples(inputs, inputs, jnp.ones(inputs.shape))
        prompts = jnp.broadcast_to(embeddings, shape)
        of_each = Objective(module, 0.0).losses(
            variables["params"], examples, prompts=prompts, class_ids=tokens[:, 0]
        )
        return of_each.mean()

    value, gradient = loss(load(name))
    golden_ar.check(FILE, f"loss_{kind}", value)
    golden_ar.check(FILE, f"grad_{kind}", gradient)


@golden_ar.needed
@pytest.mark.parametrize("kind", ["", "_prompt"])
def test_one_token_a_call_with_a_cache(kind):
    module, variables = golden_ar.gpt()
    tokens = load("gpt_tokens")
    embeddings = load("embeddings") if kind else None
    prefix, first = module.apply(variables, embeddings, tokens[:, 0], method="prefix")
    logits, fresh = module.apply(variables, prefix, method="run")
    if kind:
        golden_ar.check(FILE, "first_logits_prompt", logits)
        pairs = np.stack([np.stack(pair) for pair in fresh])
        golden_ar.check(FILE, "first_present_prompt", pairs)
    length, count = prefix.shape[1], tokens.shape[1] - 1
    cache = [
        jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, 0), (0, count - 1), (0, 0))), pair)
        for pair in fresh
    ]

    def step(cache, inputs):
        token, number = inputs
        x = module.apply(variables, token[:, None], first + number, method="embed")
        logits, cache = module.apply(variables, x, cache, length + number, method="run")
        return cache, logits[:, 0]

    _, rest = jax.lax.scan(step, cache, (tokens[:, 1:-1].T, jnp.arange(count - 1)))
    rows = jnp.concatenate([logits[:, -1:], jnp.moveaxis(rest, 0, 1)], axis=1)
    golden_ar.check(FILE, f"step_logits{kind}", rows)


@golden_ar.needed
def test_images_to_logits_to_images():
    tokenizer = golden_ar.net("taming_vqgan", "cin_transformer.ckpt")
    images = golden_ar.to_unit(golden_ar.load(FILE, "images"))
    bytes_ = golden_ar.load(FILE, "images_uint8")
    np.testing.assert_allclose(images, golden_ar.nhwc(bytes_) / 255.0, atol=1e-6)
    tokens = golden_ar.run(tokenizer, "tokenize", images)
    flat = tokens.reshape(len(tokens), -1)
    golden_ar.check(FILE, "net_z_indices", flat)
    golden_ar.check(FILE, "net_c_indices", load("class_ids")[:, None])
    logits = golden_ar.run(golden_ar.gpt(), "__call__", flat, class_ids=load("class_ids"))
    golden_ar.check(FILE, "net_logits", logits)
    module, variables = golden_ar.gpt()
    losses = Objective(module, 0.0).losses(
        variables["params"],
        Examples(flat, flat, jnp.ones(flat.shape)),
        class_ids=load("class_ids"),
    )
    golden_ar.check(FILE, "net_loss", losses.mean())
    decoded = golden_ar.run(tokenizer, "detokenize", tokens)
    golden_ar.check(FILE, "net_decoded", np.moveaxis(2.0 * decoded - 1.0, -1, 1))


def test_a_row_sees_the_prefix_and_the_tokens_before_it_only():
    logits = TINY.apply(tiny_variables(), TOKENS, class_ids=CLASSES)
    other = TINY.apply(tiny_variables(), TOKENS.at[:, 2].set(0), class_ids=CLASSES)
    changed = np.abs(logits - other).max(axis=(0, 2))
    assert (changed[:3] < 1e-5).all()
    assert (changed[3:] > 1e-4).all()


def test_a_prompt_takes_the_place_of_the_embedded_class():
    variables = tiny_variables()
    embedded = TINY.apply(variables, CLASSES[:, None], 0, method="embed")
    np.testing.assert_allclose(
        TINY.apply(variables, TOKENS, prompts=embedded),
        TINY.apply(variables, TOKENS, class_ids=CLASSES),
        atol=1e-5,
    )


def test_too_many_tokens_and_no_condition_are_errors():
    variables = tiny_variables()
    with pytest.raises(ValueError, match="6 tokens from position 2 on do not fit into 6"):
        TINY.apply(variables, TOKENS, prompts=jnp.zeros((2, 1, 8)), class_ids=CLASSES)
    with pytest.raises(ValueError, match="prompts or class ids"):
        TINY.apply(variables, TOKENS)
    with pytest.raises(ValueError, match="one token at least"):
        TINY.apply(variables, TOKENS, prompts=jnp.zeros((2, 0, 8)))


def test_layers_compute_in_the_type_of_their_matrices_and_logits_are_float32():
    halved = jax.tree.map(lambda x: x.astype(jnp.bfloat16), tiny_variables())
    for variables, dtype in ((tiny_variables(), jnp.float32), (halved, jnp.bfloat16)):
        prompts = jnp.ones((2, 1, 8), jnp.bfloat16)
        assert TINY.apply(variables, TOKENS, prompts=prompts).dtype == jnp.float32
        x, first = TINY.apply(variables, prompts, method="prefix")
        _, cache = TINY.apply(variables, x, method="run")
        assert cache[0].keys.dtype == dtype


@golden_ar.needed
def test_orders_of_the_release():
    """Its permuters take row-major tokens to the sequence by `forward`, and back by `backward`."""
    for name, lists in json.loads(golden_ar.file("permuters.json").read_text()).items():
        tokens = 3 * np.arange(len(lists["forward"]))[None]
        net = TINY.clone(order=tuple(lists["forward"]))
        np.testing.assert_array_equal(net.to_sequence(tokens)[0], 3 * np.array(lists["forward"]))
        back = net.to_row_major(tokens)[0]
        np.testing.assert_array_equal(back, 3 * np.array(lists["backward"]), name)
        np.testing.assert_array_equal(net.to_row_major(net.to_sequence(tokens)), tokens)
        with pytest.raises(ValueError, match="do not suit an order of"):
            net.to_sequence(tokens[:, :-1])
