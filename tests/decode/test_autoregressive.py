"""AR decoding: the release's greedy runs, its filters, and what a marquee changes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_ar
from tests.random_params import random_params
from vpt_gen.decode import autoregressive
from vpt_gen.decode.filters import filter_logits, top_k_filter
from vpt_gen.decode.generate import generate
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import NO_CLASS
from vpt_gen.training.objectives import Objective

pytestmark = pytest.mark.slow

FILE = "gpt.npz"
NET = GPT(
    codebook_size=9,
    num_positions=16,
    num_layers=1,
    hidden_size=16,
    num_heads=2,
    intermediate_size=32,
)


@functools.cache
def params(net=NET):
    return random_params(net, 16)


@functools.partial(jax.jit, static_argnames=("net", "num_tokens", "options"))
def program(net, num_tokens, options, params, keys, given):
    return autoregressive.decode(net, params, keys, num_tokens, **given, **dict(options))


def decode(keys=4, *, net=NET, held=None, num_tokens=16, prompts=None, class_ids=None, **options):
    """Tokens (B, N) as NumPy's; a program for each set of options and shapes."""
    if isinstance(keys, int):
        keys = jax.random.split(jax.random.key(1), keys)
    held, given = (
        params(net) if held is None else held,
        {"prompts": prompts, "class_ids": class_ids},
    )
    return np.asarray(program(net, num_tokens, tuple(options.items()), held, keys, given))


@functools.partial(jax.jit, static_argnames="net")
def logits_program(net, params, tokens, conditions):
    return net.apply({"params": params}, tokens, **conditions)


def logits(tokens, *, net=NET, held=None, **conditions):
    """Logits (B, N, K) of whole sequences, without a cache."""
    return np.asarray(
        logits_program(net, params(net) if held is None else held, tokens, conditions)
    )


def prompts(seed, count=4):
    return np.random.default_rng(seed).normal(size=(count, 3, 16)).astype(np.float32)


@golden_ar.needed
@pytest.mark.parametrize("kind", ["", "_prompt"])
def test_greedy_run_of_the_release(kind):
    module, variables = golden_ar.gpt()
    class_ids = golden_ar.load(FILE, "gpt_tokens")[:, 0]
    tokens = decode(
        len(class_ids),
        net=module,
        held=variables["params"],
        num_tokens=golden_ar.load(FILE, f"greedy{kind}").shape[1],
        prompts=golden_ar.load(FILE, "embeddings") if kind else None,
        class_ids=class_ids,
        temperature=0.0,
    )
    golden_ar.check(FILE, f"greedy{kind}", tokens)


@golden_ar.needed
def test_images_of_the_greedy_run():
    tokenizer = golden_ar.net("taming_vqgan", "cin_transformer.ckpt")
    tokens = golden_ar.load(FILE, "greedy")
    expected = golden_ar.load(FILE, "greedy_decoded")
    height, width = (side // tokenizer[0].downsampling for side in expected.shape[2:])
    images = golden_ar.run(tokenizer, "detokenize", tokens.reshape(-1, height, width))
    golden_ar.check(FILE, "greedy_decoded", np.moveaxis(2.0 * images - 1.0, -1, 1))


@golden_ar.needed
def test_filters_of_the_release():
    logits = jnp.asarray(golden_ar.load(FILE, "filter_logits"))
    cases = zip(
        golden_ar.load(FILE, "filter_top_k"), golden_ar.load(FILE, "filter_top_p"), strict=True
    )
    filtered = jnp.stack([filter_logits(logits, 1.0, int(k), float(p)) for k, p in cases])
    golden_ar.check(FILE, "filter_keep", jnp.isfinite(filtered))
    golden_ar.check(FILE, "filter_probs", jax.nn.softmax(filtered))
    golden_ar.check(FILE, "topk7_keep", jnp.isfinite(top_k_filter(logits, 7)))


def test_tokens_are_drawn_from_the_uncached_distribution():
    tokens = decode(prompts=prompts(2), top_k=3)
    allowed = np.argsort(logits(tokens, prompts=prompts(2)))[..., -3:]
    assert (allowed == tokens[..., None]).any(axis=-1).all()
    greedy = decode(prompts=prompts(2), temperature=0.0)
    assert (tokens != greedy).any()
    np.testing.assert_array_equal(greedy, logits(greedy, prompts=prompts(2)).argmax(axis=-1))


def test_frequencies_are_the_softmax():
    one = np.zeros((4000, 1, 16), np.float32)
    tokens = decode(4000, num_tokens=1, prompts=one, temperature=2.0)
    expected = jax.nn.softmax(logits(tokens[:1], prompts=one[:1])[0, 0] / 2.0)
    counts = np.bincount(tokens[:, 0], minlength=9) / 4000
    np.testing.assert_allclose(counts, expected, atol=0.04)


@pytest.mark.parametrize("stacked", [False, True])
def test_an_image_depends_on_its_own_key_and_prompt(stacked):
    net, marquee = NET.clone(num_layers=2), np.stack([prompts(2), prompts(3)])
    held = stack_layers(params(net), net.layer_prefix) if stacked else params(net)
    keys = jax.random.split(jax.random.key(1), 4)

    def run(keys, marquee):
        return decode(keys, net=net, held=held, prompts=marquee)

    together = run(keys, marquee)
    np.testing.assert_array_equal(run(keys[2:3], marquee[:, 2:3]), together[2:3])
    assert (run(keys[::-1], marquee) != together).any()


def test_a_constant_marquee_is_the_prompt_itself():
    constant = np.stack([prompts(2)] * 4)
    np.testing.assert_array_equal(decode(prompts=constant), decode(prompts=prompts(2)))


def test_a_changed_prompt_acts_from_its_stretch_on():
    changed = np.stack([prompts(2), prompts(2), prompts(3), prompts(3)])
    plain, steered = decode(prompts=prompts(2)), decode(prompts=changed)
    np.testing.assert_array_equal(plain[:, :8], steered[:, :8])
    assert (plain[:, 8:] != steered[:, 8:]).any()


def test_prompts_must_share_the_tokens_evenly():
    with pytest.raises(ValueError, match="3 prompts cannot share 16 tokens"):
        decode(prompts=np.stack([prompts(2)] * 3))


def test_a_changed_prompt_replaces_the_prefix_and_keeps_what_tokens_left():
    """Against a decoder without `lax.scan`, step by step on the net's own cache."""
    marquee = np.stack([prompts(seed) for seed in (2, 3, 4, 5)])
    run, embed = (jax.jit(functools.partial(NET.apply, method=name)) for name in ("run", "embed"))
    variables = {"params": params()}
    length, cache, tokens = 3, [], []
    for n in range(16):
        prefix = marquee[n // 4]
        if n % 4 == 0:
            _, fresh = run(variables, prefix)
            after = cache or jax.tree.map(lambda _: np.zeros((4, 2, 18, 8), np.float32), fresh)
            cache = jax.tree.map(
                lambda new, old: np.concatenate([new, old[:, :, 3:]], axis=2), fresh, after
            )
        x = embed(variables, tokens[-1][:, None], n) if n else prefix[:, -1:]
        predicted, cache = run(variables, x, cache, length - 1 + n)
        tokens.append(np.asarray(predicted)[:, 0].argmax(axis=-1))
    np.testing.assert_array_equal(decode(prompts=marquee, temperature=0.0), np.stack(tokens, 1))


def test_tokens_and_keys_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="17 tokens from position 1 on do not fit into 16"):
        decode(num_tokens=17, prompts=prompts(2))
    for keys in (jax.random.key(0), jax.random.PRNGKey(0), jax.random.split(jax.random.key(0), 3)):
        with pytest.raises(ValueError, match="one key per image"):
            decode(keys, prompts=prompts(2, count=2))


def test_old_keys_draw_as_typed_ones():
    keys = jax.random.split(jax.random.key(1), 4)
    old = decode(jax.random.key_data(keys), prompts=prompts(2))
    np.testing.assert_array_equal(decode(keys, prompts=prompts(2)), old)


@pytest.mark.parametrize(("batch", "num_prompts"), [(1, 16), (3, 1)])
def test_as_many_tokens_as_positions_and_prompts_of_any_number(batch, num_prompts):
    given = np.random.default_rng(4).normal(size=(batch, num_prompts, 16)).astype(np.float32)
    greedy = decode(batch, prompts=given, temperature=0.0)
    np.testing.assert_array_equal(greedy, logits(greedy, prompts=given).argmax(axis=-1))


def test_the_smallest_choices_are_the_likeliest_token():
    greedy = decode(prompts=prompts(2), temperature=0.0)
    np.testing.assert_array_equal(decode(prompts=prompts(2), top_p=0.0), greedy)
    np.testing.assert_array_equal(
        decode(prompts=prompts(2), top_k=1, top_p=0.3, temperature=9.0), greedy
    )


def test_the_largest_choices_are_all_tokens():
    all_ = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    np.testing.assert_array_equal(filter_logits(all_, 1.0, 9, 1.0), all_)
    np.testing.assert_array_equal(filter_logits(all_, 1.0, 500, 1.0), all_)


def test_a_class_without_prompts():
    classes = np.array([0, 8, 3, 3])
    greedy = decode(class_ids=classes, temperature=0.0)
    np.testing.assert_array_equal(greedy, logits(greedy, class_ids=classes).argmax(axis=-1))
    np.testing.assert_array_equal(greedy[2], greedy[3])
    assert (greedy[0] != greedy[1]).any()


F32, BF16 = jnp.float32, jnp.bfloat16


@pytest.mark.parametrize(("of_params", "of_prompts"), [(F32, BF16), (BF16, F32), (BF16, BF16)])
def test_types_may_be_mixed(of_params, of_prompts):
    held = jax.tree.map(lambda x: x.astype(of_params), params())
    given = {"held": held, "prompts": prompts(2).astype(of_prompts)}
    tokens = decode(**given, temperature=0.0)
    agreement = (logits(tokens, **given).argmax(axis=-1) == tokens).mean()
    # Rounding may decide between two tokens that are nearly as likely.
    assert agreement == 1.0 if of_params == F32 else agreement > 0.9


def test_a_net_of_another_order_gives_row_major_tokens():
    order = tuple(np.random.default_rng(0).permutation(16).tolist())
    keys = jax.random.split(jax.random.key(1), 4)

    def tokens_steps_and_loss(net):
        @jax.jit
        def run(params, prompts):
            drawn = generate(net, params, keys, 16, prompts=prompts[None], temperature=0.0)
            return *drawn, Objective(net, 0.0)(params, drawn[0], None, prompts=prompts)

        return map(np.asarray, run(params(), prompts(2)))

    plain, _, loss = tokens_steps_and_loss(NET)
    moved, steps, again = tokens_steps_and_loss(NET.clone(order=order))
    np.testing.assert_array_equal(moved[:, np.array(order)], plain)
    np.testing.assert_array_equal(steps[:, np.array(order)], np.tile(np.arange(16), (4, 1)))
    np.testing.assert_allclose(loss, again, rtol=1e-6)


def test_a_probability_reached_exactly_lets_one_more_in():
    """As released: a token stays where those before it reach no more than p."""
    logits = jnp.log(jnp.array([0.5, 0.25, 0.125, 0.125]))
    for p, kept in ((0.5, 2), (0.75, 3), (0.875, 4)):
        assert jnp.isfinite(filter_logits(logits, 1.0, 0, p)).sum() == kept


@pytest.mark.parametrize(("p", "kept"), [(1.0, 4), (0.0, 1), (0.6, 1), (0.65, 2)])
def test_top_p_keeps_the_token_that_crosses(p, kept):
    logits = jnp.log(jnp.array([0.05, 0.64, 0.01, 0.3]))
    assert jnp.isfinite(filter_logits(logits, 1.0, 0, p)).sum() == kept


@pytest.mark.parametrize("null_class", [-1, 4])
def test_guidance_goes_from_nothing_beyond_the_condition(null_class):
    net, given = NET.clone(null_class=null_class), prompts(1, count=3)
    found = decode(3, net=net, prompts=given, temperature=0.0, guidance=2.0, guidance_start=0.5)
    if null_class >= 0:
        nothing = {"class_ids": np.full(3, NO_CLASS)}
    else:  # The first position, without a token.
        first = params(net)["position_embeddings"]["embedding"][0]
        nothing = {"prompts": np.broadcast_to(first, (3, 1, 16))}
    with_condition = logits(found, net=net, prompts=given)
    beyond = with_condition - logits(found, net=net, **nothing)
    scale = np.where(np.arange(16) >= 8, 2.0, 0.0)[:, None]
    np.testing.assert_array_equal(found, (with_condition + scale * beyond).argmax(-1))
    assert (found != with_condition.argmax(-1)).any()


def test_a_class_that_stands_for_none_needs_room():
    assert GPT(9, 16).dropping_classes(8).null_class == 8
    with pytest.raises(ValueError, match="9 classes leave none of its 9 for no class"):
        GPT(9, 16).dropping_classes(9)
