"""Halton-MaskGIT's transformer and prompts on it against its own numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_halton as golden
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.training.losses import masked_cross_entropy

pytestmark = [golden.needed, pytest.mark.slow]

NET, PROMPTS = "transformer.npz", "prompts.npz"


def test_golden_sizes_are_those_of_the_config():
    net, _ = golden.transformer()
    sizes = golden.sizes()
    found = dataclasses.asdict(net)
    ours = {
        "hidden_dim": "hidden_size",
        "depth": "num_layers",
        "heads": "num_heads",
        "ffn_hidden": "intermediate_size",
        "codebook_size": "codebook_size",
        "nclass": "num_classes",
        "register": "num_registers",
    }
    assert {name: sizes[name] for name in ours} == {name: found[ours[name]] for name in ours}
    assert net.num_tokens == sizes["input_size"] ** 2
    assert sizes["attention_width"] == net.num_heads * (net.hidden_size // net.num_heads)


def test_golden_logits():
    tokens, ids = golden.tokens(NET, "tokens"), golden.arrays(NET)["class_ids"]
    of = {"logits": golden.classes(NET), "logits_class": ids, "logits_dropped": None}
    for name, classes in of.items():
        golden.check(NET, name, golden.run(golden.logits_with_mask, tokens, class_ids=classes))
    known = golden.tokens(NET, "tokens_known")
    logits = golden.run(golden.logits_with_mask, known, class_ids=ids[: len(known)])
    golden.check(NET, "logits_known", logits)


def test_golden_logits_of_codes_alone_are_the_first_columns():
    tokens, classes = golden.tokens(NET, "tokens"), golden.classes(NET)
    logits = golden.run("__call__", tokens, class_ids=classes)
    count = golden.transformer()[0].codebook_size
    golden.check(NET, "logits", logits, np.s_[..., :count])


def test_golden_logits_of_the_layout_of_training():
    file = "layouts.npz"
    tokens = golden.tokens(file, "tokens", golden.LAYOUT)
    classes = golden.classes(file)
    logits = golden.run(golden.logits_with_mask, tokens, class_ids=classes, of=golden.LAYOUT)
    golden.check(file, "logits", logits)


def test_golden_numbers_inside_the_net():
    net, params = golden.transformer()
    tokens, classes = golden.tokens(NET, "tokens"), golden.classes(NET)
    _, seen = net.apply(
        {"params": params}, tokens, class_ids=classes, capture_intermediates=True, mutable=True
    )
    inside = seen["intermediates"]

    def output(*path):
        found = inside
        for name in path:
            found = found[name]
        return found["__call__"][0]

    def joined(heads):
        return jnp.swapaxes(heads, 1, 2).reshape(len(heads), heads.shape[2], -1)

    golden.check(NET, "dbg_input", golden.run("sequence", tokens))
    golden.check(NET, "dbg_cond", golden.run("modulation", len(tokens), classes, None))
    golden.check(NET, "dbg_block0_modulation", output("layer_0", "modulation"))
    golden.check(NET, "dbg_block0_q", joined(output("layer_0", "attention", "query_norm")))
    golden.check(NET, "dbg_block0_k", joined(output("layer_0", "attention", "key_norm")))
    golden.check(NET, "dbg_block0_attention", output("layer_0", "attention"))
    golden.check(NET, "dbg_block0_ff", output("layer_0", "mlp"))
    for number in range(net.num_layers):
        golden.check(NET, f"dbg_block{number}", output(f"layer_{number}"))
    golden.check(NET, "dbg_last_norm", output("final_norm"))


def test_golden_numbers_inside_the_net_with_prompts():
    net, params = golden.transformer()
    stored = golden.arrays(PROMPTS)
    _, seen = net.apply(
        {"params": params},
        golden.tokens(PROMPTS, "tokens"),
        prompts=stored["prompts"],
        capture_intermediates=True,
        mutable=True,
    )
    for number in range(net.num_layers):
        output = seen["intermediates"][f"layer_{number}"]["__call__"][0]
        golden.check(PROMPTS, f"dbg_prompt_block{number}", output)


def losses(file: str, logits: jax.Array) -> dict[str, jax.Array]:
    """The project's loss, and the reference's: all columns, all positions."""
    tokens = golden.tokens(file, "tokens")
    targets = golden.tokens(file, "targets")
    masked = jnp.asarray(tokens == MASK_TOKEN_ID, jnp.float32)
    of_masked = masked_cross_entropy(logits[..., :-1], targets, masked)
    of_all = masked_cross_entropy(logits, targets, jnp.ones(tokens.shape))
    return {"loss": of_masked.mean(), "loss_all": of_all.mean()}


def test_golden_losses_and_the_gradient_of_the_class_vector():
    tokens = golden.tokens(NET, "tokens")
    found = losses(NET, golden.run(golden.logits_with_mask, tokens, class_ids=golden.classes(NET)))
    golden.check(NET, "loss_masked", found["loss"])
    golden.check(NET, "loss_all", found["loss_all"])

    def loss(vectors):
        logits = golden.run(golden.logits_with_mask, tokens, class_ids=ids, vectors=vectors)
        return losses(NET, logits)["loss"]

    ids = golden.arrays(NET)["class_ids"]
    zero = jnp.zeros((len(ids), golden.transformer()[0].hidden_size))
    golden.check(NET, "grad_class_vector", jax.grad(loss)(zero))


# Variant of the reference's data -> whether it has prompts, registers, and a vector.
VARIANTS = {
    "": (True, True, False),
    "_replace": (True, False, False),
    "_vector": (True, True, True),
    "_vectoronly": (False, True, True),
}


def conditions(variant: str) -> dict[str, np.ndarray]:
    stored = golden.arrays(PROMPTS)
    has_prompts, _, has_vector = VARIANTS[variant]
    # The reference's vector takes the place of the class's; ours is added to that of no class.
    vectors = {"vectors": stored["vector"] - golden.dropped_row()} if has_vector else {}
    return ({"prompts": stored["prompts"]} if has_prompts else {}) | vectors


def logits_of(variant: str, **told):
    net, params = golden.transformer()
    if not VARIANTS[variant][1]:
        net = net.clone(num_registers=0)
        params = {name: x for name, x in params.items() if name != "register_embeddings"}
    tokens = golden.tokens(PROMPTS, "tokens")
    return net.apply({"params": params}, tokens, **told, method=golden.logits_with_mask)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_prompts_and_vectors(variant):
    told = conditions(variant)

    @jax.jit
    def computed(told):
        logits, pull = jax.vjp(lambda told: logits_of(variant, **told), told)
        values, pull_losses = jax.vjp(lambda logits: losses(PROMPTS, logits), logits)
        gradients = {}
        for name in values:
            one = {n: jnp.asarray(n == name, jnp.float32) for n in values}
            gradients[name] = pull(pull_losses(one)[0])[0]
        return logits, values, gradients

    logits, values, gradients = computed(told)
    golden.check(PROMPTS, f"logits_prompt{variant}", logits)
    for name, value in values.items():
        golden.check(PROMPTS, f"{name}_prompt{variant}", value)
        grad = name.replace("loss", "grad")
        for part, of in (("prompts", "prompt"), ("vectors", "vector")):
            if part in told:
                golden.check(PROMPTS, f"{grad}_{of}{variant}", gradients[name][part])


def test_golden_prompts_and_a_vector_that_a_batch_shares():
    stored = golden.arrays(PROMPTS)
    count = len(stored["tokens"])

    @jax.value_and_grad
    def loss(shared):
        told = {n: jnp.broadcast_to(x, (count, *x.shape)) for n, x in shared.items()}
        return losses(PROMPTS, logits_of("_vector", **told))["loss"]

    shared = {
        "prompts": stored["prompts_shared"],
        "vectors": stored["vector"][0] - golden.dropped_row(),
    }
    value, gradients = jax.jit(loss)(shared)
    golden.check(PROMPTS, "loss_prompt_shared_vector", value)
    golden.check(PROMPTS, "grad_prompt_shared_vector", gradients["prompts"])
    golden.check(PROMPTS, "grad_shared_vector", gradients["vectors"])
