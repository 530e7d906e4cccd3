"""Images that share their conditions: the same tokens, with less work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.decode.decoders import of_net
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import MASK_TOKEN_ID, NO_CLASS
from vpt_gen.nets.vqgan import VQGAN

pytestmark = pytest.mark.slow

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
NETS = {"nar": MaskGIT(9, 4, 16, **SIZES), "ar": GPT(9, 16, **SIZES)}
OPTIONS = {"nar": {"num_iterations": 4}, "ar": {}}
ROWS = jnp.array([1, 0, 1, 2, 2, 1])
CLASSES = jnp.array([3, 0, 2])
families = pytest.mark.parametrize("family", NETS)


def params_of(net):
    tokens = jnp.zeros((1, 16), jnp.int32)
    params = net.init(jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    return jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, params)


def draw(family, rows=None, params=None, **conditions):
    net = NETS[family]
    keys = jax.random.split(jax.random.key(1), len(ROWS))
    params = params_of(net) if params is None else params
    return generate(net, params, keys, 16, rows=rows, **{**OPTIONS[family], **conditions})


@families
@pytest.mark.parametrize("stages", [1, 4])
def test_shared_prompts_give_the_same_tokens(family, stages):
    prompts = jax.random.normal(jax.random.key(2), (stages, 3, 5, 16))
    shared = draw(family, ROWS, prompts=prompts)
    own = draw(family, prompts=prompts[:, ROWS])
    for a, b in zip(shared, own, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(np.unique(shared[0], axis=0)) == len(ROWS)


@families
def test_shared_classes_give_the_same_tokens(family):
    shared, own = draw(family, ROWS, class_ids=CLASSES), draw(family, class_ids=CLASSES[ROWS])
    np.testing.assert_array_equal(shared[0], own[0])


@pytest.mark.parametrize("decoder", ["remasking", "path_planning", "entropy", "moment"])
def test_decoders_by_step_take_shared_stages_and_guidance(decoder):
    prompts = jax.random.normal(jax.random.key(2), (4, 3, 5, 16))
    options = {"decoder": decoder, "guidance": 1.0, "guidance_schedule": "linear"}
    shared, _ = draw("nar", ROWS, prompts=prompts, **options)
    own, _ = draw("nar", prompts=prompts[:, ROWS], **options)
    np.testing.assert_array_equal(shared, own)
    for changed in ({"prompts": prompts[:1]}, {"guidance": 0.0}):
        other, _ = draw("nar", ROWS, **{"prompts": prompts, **options, **changed})
        assert (other != shared).any()


@pytest.mark.parametrize("decoder", of_net(NETS["nar"]))
def test_no_condition_is_no_class(decoder):
    nothing, _ = draw("nar", decoder=decoder)
    no_class, _ = draw("nar", decoder=decoder, class_ids=jnp.full(len(ROWS), NO_CLASS))
    np.testing.assert_array_equal(nothing, no_class)


@families
def test_stacked_layers_give_the_same_tokens(family):
    prompts = jax.random.normal(jax.random.key(2), (4, 3, 5, 16))
    net = NETS[family]
    stacked = stack_layers(params_of(net), net.layer_prefix)
    np.testing.assert_array_equal(
        draw(family, ROWS, stacked, prompts=prompts)[0], draw(family, ROWS, prompts=prompts)[0]
    )


def test_a_shared_first_iteration_leaves_one_less_to_the_loop():
    prompts = jax.random.normal(jax.random.key(2), (1, 3, 5, 16))

    def loop_lengths(**conditions):
        jaxpr = jax.make_jaxpr(lambda: draw("nar", params=params_of(NETS["nar"]), **conditions))()
        return [e.params["length"] for e in jaxpr.eqns if e.primitive.name == "scan"]

    assert loop_lengths(prompts=prompts[:, ROWS]) == [4]
    assert loop_lengths(rows=ROWS, prompts=prompts) == [3]


@pytest.mark.parametrize("decoder", ["confidence", "halton"])
@pytest.mark.parametrize("kind", ["prompts", "class_ids"])
@pytest.mark.parametrize("rows", [None, ROWS])
def test_guidance_goes_from_nothing_beyond_the_condition(decoder, kind, rows):
    net, params = NETS["nar"], params_of(NETS["nar"])
    prompts = jax.random.normal(jax.random.key(2), (3, 5, 16))
    conditions = CLASSES if kind == "class_ids" else prompts
    of_images = conditions[ROWS]
    given = conditions if rows is not None else of_images
    keys = jax.random.split(jax.random.key(1), len(ROWS))
    # So far that no noise matters.
    tokens, _ = generate(
        net,
        params,
        keys,
        16,
        rows=rows,
        decoder=decoder,
        guidance=1e6,
        num_iterations=1,
        **{kind: given if kind == "class_ids" else given[None]},
    )
    unknown = jnp.full((len(ROWS), 16), MASK_TOKEN_ID)
    logits = net.apply({"params": params}, unknown, **{kind: of_images})
    difference = logits - net.apply({"params": params}, unknown)
    np.testing.assert_array_equal(tokens, difference.argmax(-1))


@pytest.mark.parametrize("decoder", ["confidence", "halton"])
def test_domain_guidance_goes_beyond_the_condition_from_what_the_source_predicts(decoder):
    net, params = NETS["nar"], params_of(NETS["nar"])
    source = jax.tree.map(lambda x: -x, params)
    options = {"decoder": decoder, "guidance": 1e6, "num_iterations": 1, "source": source}
    given = {"rows": ROWS, "class_ids": CLASSES}
    plain, _ = draw("nar", **given, **options)
    tokens, _ = draw("nar", **given, **options, domain_guidance=True)
    unknown = jnp.full((len(ROWS), 16), MASK_TOKEN_ID)
    logits = net.apply({"params": params}, unknown, class_ids=CLASSES[ROWS])
    difference = logits - net.apply({"params": source}, unknown)
    np.testing.assert_array_equal(tokens, difference.argmax(-1))
    assert (tokens != plain).any()


def test_no_guidance_is_the_plain_decoder():
    conditions = {"rows": ROWS, "class_ids": CLASSES}
    plain, unguided = draw("nar", **conditions), draw("nar", **conditions, guidance=0.0)
    np.testing.assert_array_equal(plain[0], unguided[0])
    assert (draw("nar", **conditions, guidance=2.0)[0] != plain[0]).any()
    with pytest.raises(ValueError, match="frontier.*no guidance"):
        draw("nar", **conditions, guidance=2.0, decoder="frontier")


def test_images_in_batches_are_the_images():
    net = VQGAN(32, (1, 1), 1, 8, 16)
    params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    tokens = jax.random.randint(jax.random.key(1), (5, 16), 0, 16)
    images = tokens_to_images(net, params, tokens)
    assert images.shape == (5, 8, 8, 3)
    np.testing.assert_allclose(tokens_to_images(net, params, tokens, 2), images, atol=1e-5)


@pytest.mark.parametrize("decoder", ["confidence", "halton"])
def test_guidance_that_begins_late_leaves_the_first_iterations_alone(decoder):
    conditions = {"rows": ROWS, "class_ids": CLASSES, "decoder": decoder}
    (plain, reveal), (late, _), (always, _) = (
        draw("nar", **conditions, guidance=guidance, guidance_start=start)
        for guidance, start in ((0.0, 0.0), (5.0, 0.5), (5.0, 0.0))
    )
    early = np.asarray(reveal) < 2
    np.testing.assert_array_equal(np.where(early, late, 0), np.where(early, plain, 0))
    assert (late != plain).any() and (late != always).any()
    # From the beginning is what a constant scale does.
    barely, _ = draw("nar", **conditions, guidance=5.0, guidance_start=1e-9)
    np.testing.assert_array_equal(
        draw("nar", **conditions, guidance=5.0, guidance_start=0.2)[0],
        draw("nar", **conditions, guidance=5.0, guidance_start=0.25)[0],
    )
    assert (barely != always).any()


@pytest.mark.parametrize("decoder", ["confidence", "halton", "masked", "frontier"])
def test_a_low_temperature_takes_likelier_tokens(decoder):
    def mean_log_probability(temperature):
        tokens, _ = draw(
            "nar", **conditions, decoder=decoder, num_iterations=1, temperature=temperature
        )
        unknown = jnp.full((len(ROWS), 16), MASK_TOKEN_ID)
        logits = NETS["nar"].apply({"params": params}, unknown, class_ids=CLASSES[ROWS])
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)
        return float(chosen.mean()), tokens, logits

    params = params_of(NETS["nar"])
    conditions = {"rows": ROWS, "class_ids": CLASSES, "params": params}
    warm, _, _ = mean_log_probability(2.0)
    cool, _, _ = mean_log_probability(0.5)
    _, cold, logits = mean_log_probability(1e-4)
    assert cool > warm
    np.testing.assert_array_equal(cold, logits.argmax(-1))


def test_domain_guidance_needs_the_source():
    options = {"class_ids": CLASSES[ROWS], "domain_guidance": True}
    with pytest.raises(ValueError, match="leads away from the source: give its parameters"):
        draw("nar", **options, guidance=1.0)
    draw("nar", **options, guidance=0.0)
