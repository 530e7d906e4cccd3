"""RAR's transformer against the released one: classes, orders, prompts, vectors, a cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_rar as golden
from vpt_gen.checkpoints.released import torch_file
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import NO_CLASS
from vpt_gen.training.objectives import Examples, Objective

pytestmark = [golden.needed, pytest.mark.slow]
FILE = "rar.npz"


def load(name):
    return jnp.asarray(golden.load(FILE, name))


def nothing():
    return jnp.full_like(load("class_ids"), NO_CLASS)


@jax.jit
def all_logits(variables, tokens, orders=None, **condition):
    """Logits (B, N + 1, K): also of the last token, which no net of ours is asked for."""
    net, _ = golden.transformer()
    first_place = None if orders is None else orders[:, 0]
    prefix, first = net.apply(variables, **condition, first_place=first_place, method="prefix")
    places = orders
    if orders is not None:
        places = jnp.pad(orders, ((0, 0), (0, 1)), constant_values=net.num_tokens)
    x = net.apply(variables, tokens, first, places, method="embed")
    logits, _ = net.apply(variables, net.joined(prefix, x), method="run")
    return logits[:, -tokens.shape[1] - 1 :]


def check_logits(name, tokens, **condition):
    net, variables = golden.transformer()
    golden.check(FILE, name, all_logits(variables, tokens, **condition))
    # What objectives call gives the same.
    found = golden.run((net, variables), "__call__", tokens, **condition)
    atol = golden.manifest()["arrays"][FILE][name]["tolerance"]["atol"]
    np.testing.assert_allclose(found, load(name)[:, : tokens.shape[1]], rtol=1e-5, atol=atol)


def test_logits_of_classes():
    check_logits("logits", load("tokens"), class_ids=load("class_ids"))
    check_logits("logits_none", load("tokens"), class_ids=nothing())


def test_a_short_sequence():
    tokens = load("tokens")[:, : load("logits_short").shape[1] - 1]
    check_logits("logits_short", tokens, class_ids=load("class_ids"))


def test_orders_of_places():
    orders = load("orders")
    shuffled = jnp.take_along_axis(load("tokens"), orders, axis=1)
    golden.check(FILE, "labels_permuted", shuffled)
    check_logits("logits_permuted", shuffled, orders=orders, class_ids=load("class_ids"))


def test_stacked_layers():
    net, variables = golden.transformer()
    stacked = {"params": stack_layers(variables["params"], net.layer_prefix)}
    found = all_logits(stacked, load("tokens"), class_ids=load("class_ids"))
    golden.check(FILE, "logits", found)


def test_rows_of_the_vocabulary():
    stored = torch_file.tensors(golden.file(golden.TRANSFORMER))["embeddings.weight"].read()
    net, variables = golden.transformer()
    ours = variables["params"]["condition_embeddings"]["embedding"]
    classes = golden.load(FILE, "class_ids")
    np.testing.assert_array_equal(ours[classes], stored[golden.load(FILE, "condition_ids")])
    none = np.full_like(classes, net.num_classes)
    np.testing.assert_array_equal(ours[none], stored[golden.load(FILE, "none_ids")])


def loss_of(variables, tokens, **condition):
    net, _ = golden.transformer()
    weights = jnp.ones(tokens.shape)
    examples = Examples(tokens, tokens, weights)
    losses = Objective(net, 0.0).losses(variables["params"], examples, **condition)
    return losses.mean()


def test_losses_of_classes():
    tokens = load("tokens")
    loss = jax.jit(functools.partial(loss_of, golden.transformer()[1]))
    golden.check(FILE, "loss", loss(tokens, class_ids=load("class_ids")))
    golden.check(FILE, "loss_none", loss(tokens, class_ids=nothing()))


def with_a_cache(variables, tokens, **condition):
    """Logits of one token at a time, each with what the cache has of those before it."""
    module, _ = golden.transformer()

    @jax.jit
    def run(variables):
        prefix, first = module.apply(variables, **condition, method="prefix")
        logits, fresh = module.apply(variables, prefix, method="run")
        length, count = prefix.states.shape[1], tokens.shape[1]
        batch = tokens.shape[0]
        cache = module.apply(variables, batch, length + count - 1, method="empty_cache")
        cache = jax.tree.map(lambda c, f: c.at[..., :length, :].set(f), cache, fresh)
        places = module.apply(variables, prefix, jnp.arange(count), method="of_places")

        def step(carry, inputs):
            (x, cache), (n, token, of_place) = carry, inputs
            row, cache = module.apply(variables, x, cache, length - 1 + n, method="run")
            x = module.apply(variables, token[:, None], first + n, method="embed")
            return (module.conditioned(x, of_place), cache), row[:, 0]

        carry = module.apply(variables, prefix, method="first_input"), cache
        _, rows = jax.lax.scan(step, carry, (jnp.arange(count), tokens.T, places))
        return logits, fresh, jnp.swapaxes(rows, 0, 1)

    return run(variables)


def test_one_token_a_call_with_a_cache():
    variables = golden.transformer()[1]
    logits, cache, steps = with_a_cache(variables, load("tokens"), class_ids=load("class_ids"))
    golden.check(FILE, "first_call_logits", logits)
    golden.check(FILE, "first_call_cache", jnp.stack([jnp.stack(layer) for layer in cache]))
    golden.check(FILE, "step_logits", steps)


def test_stacked_layers_with_a_cache():
    net, variables = golden.transformer()
    stacked = {"params": stack_layers(variables["params"], net.layer_prefix)}
    found = with_a_cache(stacked, load("tokens"), class_ids=load("class_ids"))[2]
    golden.check(FILE, "step_logits", found)


def prompted(end):
    condition = {"prompts": load("prompts")}
    return condition | ({"vectors": load("modulation")} if end else {})


ends = pytest.mark.parametrize("end", ["", "_modulated"])


@ends
def test_logits_of_prompts(end):
    check_logits(f"prompt_logits{end}", load("tokens"), **prompted(end))


@ends
def test_prompts_with_a_cache(end):
    """The reference's logits of whole sequences."""
    found = with_a_cache(golden.transformer()[1], load("tokens"), **prompted(end))[2]
    name = f"prompt_logits{end}"
    atol = golden.manifest()["arrays"][FILE][name]["tolerance"]["atol"]
    np.testing.assert_allclose(found, load(name)[:, :-1], rtol=1e-5, atol=atol)


@ends
def test_loss_and_gradients_of_prompts(end):
    tokens, variables = load("tokens"), golden.transformer()[1]

    def loss(condition):
        return loss_of(variables, tokens, **condition)

    value, gradients = jax.jit(jax.value_and_grad(loss))(prompted(end))
    golden.check(FILE, f"prompt_loss{end}", value)
    golden.check(FILE, f"prompt_grad{end}", gradients["prompts"])
    if end:
        golden.check(FILE, "modulation_grad", gradients["vectors"])


def test_one_prompt_and_a_vector_are_a_class():
    """The prompt is what the class's token is, and the vector leads from no class to it."""
    net, variables = golden.transformer()
    params, ids = variables["params"], golden.load(FILE, "class_ids")
    rows = params["condition_embeddings"]["embedding"]
    equivalent = rows[ids] + params["position_embeddings"]["embedding"][1]
    equivalent = (equivalent + params["target_embeddings"]["embedding"][0])[:, None]
    golden.check(FILE, "equivalent_prompt", equivalent)
    to_class = jnp.asarray(rows[ids] - rows[net.num_classes])
    found = all_logits(variables, load("tokens"), prompts=equivalent, vectors=to_class)
    golden.check(FILE, "logits", found)


def test_one_prompt_is_no_class():
    params = golden.transformer()[1]["params"]
    prompt = params["condition_embeddings"]["embedding"][-1]
    prompt = prompt + params["position_embeddings"]["embedding"][1]
    prompt = prompt + params["target_embeddings"]["embedding"][0]
    prompts = jnp.tile(prompt, (len(load("class_ids")), 1, 1))
    check_logits("logits_none", load("tokens"), prompts=prompts)


def test_sizes_come_from_the_tensors():
    net, sizes = golden.transformer()[0], golden.generator()
    assert net.codebook_size == golden.json("rar.config.json")["model"]["vq_model"]["codebook_size"]
    assert net.num_classes == sizes["condition_num_classes"]
    assert net.num_tokens == sizes["image_seq_len"]
    assert net.num_layers == sizes["num_hidden_layers"]
    assert net.hidden_size == sizes["hidden_size"]
    assert net.num_heads == sizes["num_attention_heads"]
    assert net.intermediate_size == sizes["intermediate_size"]
