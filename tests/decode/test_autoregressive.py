"""AR decoding: the release's greedy runs, its filters, and what a marquee changes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_ar
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
    num_layers=2,
    hidden_size=16,
    num_heads=2,
    intermediate_size=32,
)


@functools.cache
def params():
    tokens = jnp.zeros((1, 16), jnp.int32)
    params = NET.init(jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    return jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, params)


def decode(keys=4, prompts=None, class_ids=None, **options):
    if isinstance(keys, int):
        keys = jax.random.split(jax.random.key(1), keys)
    return autoregressive.decode(
        NET, params(), keys, 16, prompts=prompts, class_ids=class_ids, **options
    )


def prompts(seed, count=4):
    return jax.random.normal(jax.random.key(seed), (count, 3, 16))


@golden_ar.needed
@pytest.mark.parametrize("kind", ["", "_prompt"])
def test_greedy_run_of_the_release(kind):
    module, variables = golden_ar.gpt()
    class_ids = jnp.asarray(golden_ar.load(FILE, "gpt_tokens")[:, 0])
    expected = golden_ar.load(FILE, f"greedy{kind}")
    tokens = autoregressive.decode(
        module,
        variables["params"],
        jax.random.split(jax.random.key(0), len(class_ids)),
        expected.shape[1],
        prompts=jnp.asarray(golden_ar.load(FILE, "embeddings")) if kind else None,
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
    logits = NET.apply({"params": params()}, tokens, prompts=prompts(2))
    allowed = jax.lax.top_k(logits, 3)[1]
    assert (allowed == tokens[..., None]).any(axis=-1).all()
    greedy = decode(prompts=prompts(2), temperature=0.0)
    logits = NET.apply({"params": params()}, greedy, prompts=prompts(2))
    np.testing.assert_array_equal(greedy, logits.argmax(axis=-1))


def test_frequencies_are_the_softmax():
    keys = jax.random.split(jax.random.key(0), 4000)
    one = jnp.zeros((4000, 1, 16))
    tokens = autoregressive.decode(NET, params(), keys, 1, prompts=one, temperature=2.0)
    logits = NET.apply({"params": params()}, tokens[:1], prompts=one[:1])[0, 0]
    counts = np.bincount(np.asarray(tokens)[:, 0], minlength=9) / 4000
    np.testing.assert_allclose(counts, jax.nn.softmax(logits / 2.0), atol=0.04)


def test_an_image_depends_on_its_own_key_and_prompt():
    keys = jax.random.split(jax.random.key(5), 4)
    together = decode(keys, prompts(2))
    alone = decode(keys[2:3], prompts(2)[2:3])
    np.testing.assert_array_equal(together[2:3], alone)
    assert (decode(keys[::-1], prompts(2)) != together).any()


@pytest.mark.parametrize("stacked", [False, True])
def test_an_image_alone_is_the_same_image(stacked):
    marquee = jnp.stack([prompts(2), prompts(3)])
    held = stack_layers(params(), NET.layer_prefix) if stacked else params()
    keys = jax.random.split(jax.random.key(1), 4)

    def run(rows):
        return autoregressive.decode(NET, held, keys[rows], 16, prompts=marquee[:, rows])

    np.testing.assert_array_equal(run(slice(2, 3)), run(slice(4))[2:3])


def test_a_constant_marquee_is_the_prompt_itself():
    constant = jnp.stack([prompts(2)] * 4)
    np.testing.assert_array_equal(decode(prompts=constant), decode(prompts=prompts(2)))


def test_a_changed_prompt_acts_from_its_stretch_on():
    changed = jnp.stack([prompts(2), prompts(2), prompts(3), prompts(3)])
    plain, steered = decode(prompts=prompts(2)), decode(prompts=changed)
    np.testing.assert_array_equal(plain[:, :8], steered[:, :8])
    assert (plain[:, 8:] != steered[:, 8:]).any()


def test_prompts_must_share_the_tokens_evenly():
    with pytest.raises(ValueError, match="3 prompts cannot share 16 tokens"):
        decode(prompts=jnp.stack([prompts(2)] * 3))


def test_a_changed_prompt_replaces_the_prefix_and_keeps_what_tokens_left():
    """Against a decoder without `lax.scan`, step by step on the net's own cache."""
    marquee = jnp.stack([prompts(seed) for seed in (2, 3, 4, 5)])
    variables = {"params": params()}
    length, cache, tokens = 3, [], []
    for n in range(16):
        prefix = marquee[n // 4]
        if n % 4 == 0:
            _, fresh = NET.apply(variables, prefix, method="run")
            after = cache or jax.tree.map(lambda _: jnp.zeros((4, 2, 18, 8)), fresh)
            cache = jax.tree.map(
                lambda new, old: jnp.concatenate([new, old[:, :, 3:]], axis=2), fresh, after
            )
        x = NET.apply(variables, tokens[-1][:, None], n, method="embed") if n else prefix[:, -1:]
        logits, cache = NET.apply(variables, x, cache, length - 1 + n, method="run")
        tokens.append(logits[:, 0].argmax(axis=-1))
    np.testing.assert_array_equal(decode(prompts=marquee, temperature=0.0), jnp.stack(tokens, 1))


def test_tokens_and_keys_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="17 tokens from position 1 on do not fit into 16"):
        autoregressive.decode(
            NET, params(), jax.random.split(jax.random.key(0), 4), 17, prompts=prompts(2)
        )
    for keys in (jax.random.key(0), jax.random.PRNGKey(0), jax.random.split(jax.random.key(0), 3)):
        with pytest.raises(ValueError, match="one key per image"):
            decode(keys, prompts(2, count=2))


def test_old_keys_draw_as_typed_ones():
    keys = jax.random.split(jax.random.key(3), 4)
    np.testing.assert_array_equal(
        decode(keys, prompts(2)), decode(jax.random.key_data(keys), prompts(2))
    )


@pytest.mark.parametrize(("batch", "num_prompts"), [(1, 16), (3, 1)])
def test_as_many_tokens_as_positions_and_prompts_of_any_number(batch, num_prompts):
    given = jax.random.normal(jax.random.key(4), (batch, num_prompts, 16))
    keys = jax.random.split(jax.random.key(5), batch)
    greedy = decode(keys, given, temperature=0.0)
    logits = NET.apply({"params": params()}, greedy, prompts=given)
    np.testing.assert_array_equal(greedy, logits.argmax(axis=-1))


def test_the_smallest_choices_are_the_likeliest_token():
    greedy = decode(prompts=prompts(2), temperature=0.0)
    for options in ({"top_k": 1}, {"top_p": 0.0}, {"top_k": 1, "top_p": 0.3, "temperature": 9.0}):
        np.testing.assert_array_equal(decode(prompts=prompts(2), **options), greedy)
    free = decode(prompts=prompts(2))
    np.testing.assert_array_equal(decode(prompts=prompts(2), top_k=9, top_p=1.0), free)
    np.testing.assert_array_equal(decode(prompts=prompts(2), top_k=500), free)


def test_a_class_without_prompts():
    classes = jnp.array([0, 8, 3, 3])
    greedy = decode(class_ids=classes, temperature=0.0)
    logits = NET.apply({"params": params()}, greedy, class_ids=classes)
    np.testing.assert_array_equal(greedy, logits.argmax(axis=-1))
    np.testing.assert_array_equal(greedy[2], greedy[3])
    assert (greedy[0] != greedy[1]).any()


@pytest.mark.parametrize("of_params", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("of_prompts", [jnp.float32, jnp.bfloat16])
def test_types_may_be_mixed(of_params, of_prompts):
    halved = jax.tree.map(lambda x: x.astype(of_params), params())
    keys = jax.random.split(jax.random.key(0), 4)
    tokens = autoregressive.decode(
        NET, halved, keys, 16, prompts=prompts(2).astype(of_prompts), temperature=0.0
    )
    logits = NET.apply({"params": halved}, tokens, prompts=prompts(2).astype(of_prompts))
    agreement = (logits.argmax(axis=-1) == tokens).mean()
    # Rounding may decide between two tokens that are nearly as likely.
    assert agreement == 1.0 if of_params == jnp.float32 else agreement > 0.9


def test_a_net_of_another_order_gives_row_major_tokens():
    order = tuple(np.random.default_rng(0).permutation(16).tolist())
    permuted, options = NET.clone(order=order), {"temperature": 0.0}
    keys = jax.random.split(jax.random.key(1), 4)
    plain, _ = generate(NET, params(), keys, 16, prompts=prompts(2)[None], **options)
    moved, steps = generate(permuted, params(), keys, 16, prompts=prompts(2)[None], **options)
    np.testing.assert_array_equal(moved[:, np.array(order)], plain)
    np.testing.assert_array_equal(steps[:, np.array(order)], np.tile(np.arange(16), (4, 1)))
    losses = [
        Objective(net, 0.0)(params(), tokens, None, prompts=prompts(2))
        for net, tokens in ((NET, plain), (permuted, moved))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-6)


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
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_guidance_goes_from_nothing_beyond_the_condition(null_class, start):
    net = GPT(9, 16, 2, 16, 2, 32, null_class=null_class)
    tokens = jnp.zeros((1, 16), jnp.int32)
    params = net.init(jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    params = jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, params)
    prompts = jax.random.normal(jax.random.key(1), (3, 5, 16))
    keys = jax.random.split(jax.random.key(2), 3)
    found = autoregressive.decode(
        net, params, keys, 16, prompts=prompts, temperature=0, guidance=2.0, guidance_start=start
    )

    if null_class >= 0:
        nothing = {"class_ids": jnp.full(3, NO_CLASS)}
    else:  # The first position, without a token.
        first = params["position_embeddings"]["embedding"][0]
        nothing = {"prompts": jnp.broadcast_to(first, (3, 1, 16))}
    with_condition = net.apply({"params": params}, found, prompts=prompts)
    without = net.apply({"params": params}, found, **nothing)
    scale = jnp.where(jnp.arange(16) >= start * 16, 2.0, 0.0)[:, None]
    logits = with_condition + scale * (with_condition - without)
    np.testing.assert_array_equal(found, logits.argmax(-1))
    assert (found != with_condition.argmax(-1)).any()


def test_a_class_that_stands_for_none_needs_room():
    assert GPT(9, 16).dropping_classes(8).null_class == 8
    with pytest.raises(ValueError, match="9 classes leave none of its 9 for no class"):
        GPT(9, 16).dropping_classes(9)
