"""Images that share their conditions: the same tokens, with less work."""

import functools

import jax
import numpy as np
import pytest

from tests.random_params import random_params
from vpt_gen.decode.decoders import make_decoder
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import MASK_TOKEN_ID, NO_CLASS
from vpt_gen.nets.vqgan import VQGAN

pytestmark = pytest.mark.slow

B, N = 6, 16
SIZES = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
NETS = {"nar": MaskGIT(9, 4, N, **SIZES), "ar": GPT(9, N, **SIZES)}
OPTIONS = {"nar": {"num_iterations": 4}, "ar": {}}
ROWS = np.array([1, 0, 1, 2, 2, 1])
CLASSES = np.array([3, 0, 2])
PROMPTS = np.random.default_rng(2).normal(size=(4, 3, 5, 16)).astype(np.float32)
families = pytest.mark.parametrize("family", NETS)
# These ask the net in ways of their own; the other decoders ask it as "halton" does.
ways_to_predict = pytest.mark.parametrize("decoder", ["confidence", "halton"])


@functools.cache
def keys():
    return jax.random.split(jax.random.key(1), B)


@functools.cache
def params_of(net):
    return random_params(net, N)


@functools.partial(jax.jit, static_argnames=("net", "options"))
def program(net, options, params, keys, given):
    return generate(net, params, keys, N, **given, **dict(options))


def draw(
    net, rows=None, params=None, *, prompts=None, class_ids=None, source=None, **options
) -> tuple[np.ndarray, np.ndarray]:
    """What `generate` returns; a program for each set of options and kind of conditions."""
    options = tuple(sorted({**OPTIONS[net.family], **options}.items()))
    given = {"rows": rows, "prompts": prompts, "class_ids": class_ids, "source": source}
    params = params_of(net) if params is None else params
    return tuple(map(np.asarray, program(net, options, params, keys(), given)))


@jax.jit
def first_logits(params, conditions):
    """Of the masked transformer if no token is known."""
    unknown = np.full((B, N), MASK_TOKEN_ID)
    return NETS["nar"].apply({"params": params}, unknown, **conditions)


@families
@pytest.mark.parametrize("stages", [1, 4])
def test_shared_prompts_give_the_same_tokens(family, stages):
    net, prompts = NETS[family], PROMPTS[:stages]
    shared, own = draw(net, ROWS, prompts=prompts), draw(net, prompts=prompts[:, ROWS])
    for a, b in zip(shared, own, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(np.unique(shared[0], axis=0)) == B


@families
def test_shared_classes_give_the_same_tokens(family):
    net = NETS[family]
    shared, own = draw(net, ROWS, class_ids=CLASSES), draw(net, class_ids=CLASSES[ROWS])
    np.testing.assert_array_equal(shared[0], own[0])


@pytest.mark.parametrize("decoder", ["remasking", "path_planning", "entropy", "moment"])
def test_decoders_by_step_take_shared_stages_and_guidance(decoder):
    options = {"decoder": decoder, "guidance": 1.0, "guidance_schedule": "linear"}
    shared, _ = draw(NETS["nar"], ROWS, prompts=PROMPTS, **options)
    own, _ = draw(NETS["nar"], prompts=PROMPTS[:, ROWS], **options)
    np.testing.assert_array_equal(shared, own)
    constant, _ = draw(NETS["nar"], ROWS, prompts=PROMPTS[[0, 0, 0, 0]], **options)
    assert (constant != shared).any()


@pytest.mark.parametrize("decoder", ["confidence", "halton", "masked"])
def test_no_condition_is_no_class(decoder):
    nothing, _ = draw(NETS["nar"], decoder=decoder)
    no_class, _ = draw(NETS["nar"], decoder=decoder, class_ids=np.full(B, NO_CLASS))
    np.testing.assert_array_equal(nothing, no_class)


@families
def test_stacked_layers_give_the_same_tokens(family):
    net = NETS[family].clone(num_layers=2)
    stacked = stack_layers(params_of(net), net.layer_prefix)
    np.testing.assert_array_equal(
        draw(net, ROWS, stacked, prompts=PROMPTS)[0], draw(net, ROWS, prompts=PROMPTS)[0]
    )


def test_a_shared_first_iteration_leaves_one_less_to_the_loop():
    def loop_lengths(**given):
        net = NETS["nar"]
        traced = program.trace(net, (("num_iterations", 4),), params_of(net), keys(), given)
        return [e.params["length"] for e in traced.jaxpr.eqns if e.primitive.name == "scan"]

    assert loop_lengths(prompts=PROMPTS[:1, ROWS]) == [4]
    assert loop_lengths(rows=ROWS, prompts=PROMPTS[:1]) == [3]


@pytest.mark.parametrize("kind", ["prompts", "class_ids"])
@pytest.mark.parametrize(
    ("decoder", "rows"), [("confidence", None), ("confidence", ROWS), ("halton", ROWS)]
)
def test_guidance_goes_from_nothing_beyond_the_condition(decoder, kind, rows):
    params, of_images = params_of(NETS["nar"]), {"prompts": PROMPTS[0], "class_ids": CLASSES}[kind]
    given = of_images if rows is not None else of_images[ROWS]
    # So far that no noise matters. The source is for domain guidance alone.
    options = {"guidance": 1e6, "num_iterations": 1, "decoder": decoder, "source": negative(params)}
    tokens, _ = draw(
        NETS["nar"], rows, **options, **{kind: given[None] if kind == "prompts" else given}
    )
    difference = first_logits(params, {kind: of_images[ROWS]}) - first_logits(params, {})
    np.testing.assert_array_equal(tokens, difference.argmax(-1))


def negative(params):
    return jax.tree.map(np.negative, params)


@ways_to_predict
def test_domain_guidance_goes_beyond_the_condition_from_what_the_source_predicts(decoder):
    params, source = params_of(NETS["nar"]), negative(params_of(NETS["nar"]))
    options = {"guidance": 1e6, "num_iterations": 1, "decoder": decoder, "domain_guidance": True}
    tokens, _ = draw(NETS["nar"], ROWS, class_ids=CLASSES, source=source, **options)
    logits = first_logits(params, {"class_ids": CLASSES[ROWS]})
    of_source, of_nothing = first_logits(source, {}), first_logits(params, {})
    np.testing.assert_array_equal(tokens, (logits - of_source).argmax(-1))
    assert (tokens != (logits - of_nothing).argmax(-1)).any()


def test_a_scale_of_zero_is_no_guidance():
    assert make_decoder("nar", {"guidance": 0.0}) == make_decoder("nar", {})
    with pytest.raises(ValueError, match="frontier.*no guidance"):
        draw(NETS["nar"], ROWS, class_ids=CLASSES, guidance=2.0, decoder="frontier")


def test_images_in_batches_are_the_images():
    net = VQGAN(32, (1, 1), 1, 8, 16)
    params = jax.jit(net.init)(jax.random.key(0), np.zeros((1, 8, 8, 3)))["params"]
    tokens = np.random.default_rng(1).integers(0, 16, (5, 16))
    run = jax.jit(tokens_to_images, static_argnums=(0, 3))
    images = run(net, params, tokens)
    assert images.shape == (5, 8, 8, 3)
    np.testing.assert_allclose(run(net, params, tokens, 2), images, atol=1e-5)


@ways_to_predict
def test_guidance_that_begins_late_leaves_the_first_iterations_alone(decoder):
    (plain, reveal), (late, _), (always, _) = (
        draw(NETS["nar"], ROWS, class_ids=CLASSES, decoder=decoder, **options)
        for options in ({}, {"guidance": 5.0, "guidance_start": 0.5}, {"guidance": 5.0})
    )
    early = reveal < 2
    np.testing.assert_array_equal(np.where(early, late, 0), np.where(early, plain, 0))
    assert (late != plain).any() and (late != always).any()


@pytest.mark.parametrize("decoder", ["confidence", "halton", "masked"])
def test_a_low_temperature_takes_the_likeliest_tokens(decoder):
    options = {"decoder": decoder, "num_iterations": 1, "temperature": 1e-4}
    tokens, _ = draw(NETS["nar"], ROWS, class_ids=CLASSES, **options)
    logits = first_logits(params_of(NETS["nar"]), {"class_ids": CLASSES[ROWS]})
    np.testing.assert_array_equal(tokens, logits.argmax(-1))


def test_domain_guidance_needs_the_source():
    options = {"class_ids": CLASSES[ROWS], "domain_guidance": True}
    with pytest.raises(ValueError, match="leads away from the source: give its parameters"):
        draw(NETS["nar"], **options, guidance=1.0)
    draw(NETS["nar"], **options, guidance=0.0)
