"""Every method of adaptation, on both families: what moves, what stays, and where it starts."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from tests.methods.updates import batch, greedy, predicted, unmoved
from tests.random_params import random_params
from vpt_gen.decode.generate import generate
from vpt_gen.methods import (
    adaptation,
    adapters,
    class_deep_prompts,
    class_embedding,
    class_mixture,
    deep_prompts,
    difffit,
    finetune,
    lora,
    norm_bias,
    norms,
    prompts,
    prompts_lora,
    scratch,
)
from vpt_gen.nets import transformer
from vpt_gen.nets.additions import merge
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import stack_layers, unstack_layers
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective

pytestmark = pytest.mark.slow

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 40}
NETS = {"nar": MaskGIT(23, 2, 9, **SIZES, dropout_rate=0.0), "ar": GPT(23, 9, **SIZES)}
# Shapes of matrices that stay frozen, as they lie and as they are multiplied.
MATRICES = {(16, 40), (40, 16), (16, 2, 8), (2, 8, 16), (16, 16), (26, 16), (23, 16), (16, 23)}
C = 3
# Adam would blow up what is rounding alone, such as the gradient of a key's bias.
SGD = optax.sgd(0.3)
METHODS = {
    "prompts": lambda net: prompts.make_method(PromptGenerator(C, 4, 16, dropout_rate=0.0)),
    "class_embedding": lambda net: class_embedding.make_method(net, C),
    "deep_prompts": lambda net: deep_prompts.make_method(net, C, num_prompt_tokens=5),
    "class_deep_prompts": lambda net: class_deep_prompts.make_method(net, C, num_prompt_tokens=2),
    "class_mixture": lambda net: class_mixture.make_method(net, C, 2),
    "norms": lambda net: norm_bias.make_method(net, C, norms.norms),
    "norm_bias": lambda net: norm_bias.make_method(net, C),
    "difffit": lambda net: difffit.make_method(net, C),
    "lora": lambda net: lora.make_method(net, C, 2, 4.0, transformer.MATRICES),
    "prompts_lora": lambda net: prompts_lora.make_method(
        net,
        PromptGenerator(C, 4, 16, dropout_rate=0.0),
        2,
        4.0,
        transformer.MATRICES,
        prompt_steps=1,
    ),
    "adapters": lambda net: adapters.make_method(net, C, size=6),
    "finetune": lambda net: finetune.make_method(net, C, "float32"),
    "scratch": lambda net: scratch.make_method(net, C, 9, "float32"),
}
FROZEN = [name for name in METHODS if name not in ("finetune", "scratch")]
# Whose function is the source's before the first update.
OF_ITS_OWN = (
    "prompts",
    "prompts_lora",
    "deep_prompts",
    "class_deep_prompts",
    "class_mixture",
    "scratch",
)
FROM_SOURCE = [name for name in METHODS if name not in OF_ITS_OWN]
# Which train some of the source's own parameters.
IN_PART = ("norms", "norm_bias", "difffit")

# Whose parts in the layers are stacked in ways of their own.
STACKED = (
    "prompts",
    "deep_prompts",
    "class_deep_prompts",
    "difffit",
    "lora",
    "adapters",
    "scratch",
)

families = pytest.mark.parametrize("family", NETS)
methods = pytest.mark.parametrize("name", METHODS)


@functools.cache
def source_of(net):
    """Parameters of a net whose norms, biases and rows say something."""
    return random_params(net, 9, scale=0.2)


def source(family):
    return source_of(NETS[family])


def make_task(name, net, layout=lambda params, net: params, optimizer=SGD):
    return adaptation.make_task(
        METHODS[name](net),
        net,
        Objective(net, 0.1, "cosine"),
        VQGAN(),
        {"transformer": layout(source_of(net), net), "tokenizer": {}},
        optimizer,
        num_tokens=9,
        decode_options={},
    )


def stacked(params, net):
    return stack_layers(params, net.layer_prefix)


@functools.cache
def three_updates(name, family, is_stacked=False):
    """The trained parameters before and after three updates, and the update's jaxpr."""
    layout = (NETS[family].clone(remat="layer"), stacked) if is_stacked else (NETS[family],)
    task = make_task(name, *layout)
    # Operation by operation, because all methods draw arrays of the same shapes.
    state = task.init(jax.random.key(3))
    before, step = state.params, jax.jit(task.train_step)
    jaxpr = step.trace(state, task.frozen, batch(0), jax.random.key(0)).jaxpr.jaxpr
    for i in range(3):
        state, metrics = step(state, task.frozen, batch(i), jax.random.key(i))
    assert np.isfinite(float(metrics["loss"]))
    return before, state.params, jaxpr


def trained(*which):
    return three_updates(*which)[:2]


def own(name, family):
    """Paths of what a method may train, told from the source's tree and by hand."""
    of_source = set(traverse_util.flatten_dict(source(family), sep="/"))
    table = {"class_embeddings/embedding"}
    prefix = NETS[family].layer_prefix
    attention = "Attention_0/self_attention" if family == "nar" else "attention"
    kernels = {x.removesuffix("/kernel") for x in of_source if x.startswith(prefix)}
    kernels &= {x.removesuffix("/kernel") for x in of_source if x.endswith("/kernel")}
    places = {"nar": ("Attention_0/adapter", "Mlp_0/adapter")}
    places = places.get(family, ("attention_adapter", "mlp_adapter"))
    scales = {f"{prefix}{i}/{place}/scale" for i in range(2) for place in places}
    of_norms = {x for x in of_source if "_ln/" in x}
    small = {x for x in of_source if x.split("/")[-1] in ("scale", "bias")}
    deep = {f"{prefix}{i}/{attention}/prefix/{x}" for i in range(2) for x in ("keys", "values")}
    of_prompts = {
        "prompt_embeddings/embedding",
        "prompt_position_embeddings/embedding",
        "prompt_embeddings_ln/scale",
        "prompt_embeddings_ln/bias",
    }
    products = {f"{x}/lora/{way}/kernel" for x in kernels for way in ("down", "up")}
    return {
        "prompts": of_prompts,
        "prompts_lora": of_prompts | products,
        "class_embedding": table,
        "deep_prompts": table | deep,
        "class_deep_prompts": table | deep,
        "class_mixture": {"class_embeddings/logits"},
        "norms": table | of_norms,
        "norm_bias": table | small,
        "difffit": table | small | scales,
        "lora": table | products,
        "adapters": table
        | {
            f"{prefix}{i}/{place}/{way}/{part}"
            for i in range(2)
            for place in places
            for way in ("down", "up")
            for part in ("kernel", "bias")
        },
        "finetune": table | of_source,
        "scratch": table | of_source,
    }[name]


@families
@methods
def test_exactly_its_own_parameters_move(name, family):
    copy = jax.device_get(source(family))
    before, after = trained(name, family)
    assert set(traverse_util.flatten_dict(before, sep="/")) == own(name, family)
    still = unmoved(before, after)
    # A bias of the keys adds the same to all scores of a query: the softmax does not see it.
    assert {path for path in still if not path.endswith("key/bias")} == set()
    chex.assert_trees_all_equal(source(family), copy)


@families
@methods
def test_nothing_frozen_is_in_the_gradient_or_the_optimizer(name, family):
    task = make_task(name, NETS[family], optimizer=optax.adam(1e-2))
    state = jax.eval_shape(task.init, jax.random.key(3))
    for moments in (state.opt_state[0].mu, state.opt_state[0].nu):
        assert set(traverse_util.flatten_dict(moments, sep="/")) == own(name, family)
    frozen = set(traverse_util.flatten_dict(task.frozen["transformer"], sep="/"))
    assert bool(frozen) == (name in FROZEN)
    assert bool(frozen & own(name, family)) == (name in IN_PART)


def shapes_of_products(*which):
    """Shapes of the results of all products in an update, also inside of loops."""

    def shapes(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "scatter-add", "add_any"):
                yield equation.outvars[0].aval.shape
            for inner in jax.core.jaxprs_in_params(equation.params):
                yield from shapes(inner)

    return set(shapes(three_updates(*which)[2]))


@families
@methods
def test_no_gradient_of_a_frozen_matrix_is_formed(name, family):
    """Also not on the way to a small one: a gradient of A B needs none of W."""
    found = shapes_of_products(name, family) & MATRICES
    assert bool(found) == (name not in FROZEN), found


@families
@pytest.mark.parametrize("name", STACKED)
def test_no_gradient_of_stacked_frozen_matrices_is_formed(name, family):
    whole = {(2, *shape) for shape in MATRICES}
    found = shapes_of_products(name, family, True) & (whole | MATRICES)
    assert bool(found) == (name not in FROZEN), found


@functools.partial(jax.jit, static_argnames="family")
def logits(family, params, class_ids):
    return NETS[family].apply({"params": params}, batch()["tokens"], class_ids=class_ids)


@families
@pytest.mark.parametrize("name", FROM_SOURCE)
def test_at_first_a_new_class_is_what_the_source_has_in_its_place(name, family):
    method, start = METHODS[name](NETS[family]), trained(name, family)[0]
    params = method.params(method.frozen({"transformer": source(family)})["transformer"], start)
    new = np.array([0, 1, 2, 0, 1, 2])
    # A MaskGIT of two classes: the third starts as the first.
    old = new % 2 if family == "nar" else new
    chex.assert_trees_all_close(
        logits(family, params, new), logits(family, source(family), old), atol=1e-6
    )


def test_a_masked_class_stays_the_sources():
    params = merge(source("nar"), class_embedding.class_tokens(NETS["nar"], source("nar"), C))
    params["class_embeddings"]["embedding"] += 1.0
    unknown = np.full(6, -1)
    chex.assert_trees_all_equal(logits("nar", params, unknown), logits("nar", source("nar"), None))
    assert not np.allclose(logits("nar", params, batch()["label"]), logits("nar", params, None))


@families
@pytest.mark.parametrize("name", STACKED)
def test_scanned_layers_do_what_single_ones_do(name, family):
    _, one = trained(name, family)
    _, many = trained(name, family, True)
    if name != "prompts":  # The others have parts in the layers.
        many = unstack_layers(many, NETS[family].layer_prefix)
    chex.assert_trees_all_close(one, many, rtol=1e-3, atol=1e-5)


def run_with(name, family):
    """The parameters that the net runs with after training, and what it is told of classes."""
    method, params = METHODS[name](NETS[family]), trained(name, family)[1]
    frozen = method.frozen({"transformer": source(family)})["transformer"]
    return method.params(frozen, params), method.conditions(params, np.arange(C))


@pytest.mark.parametrize(
    ("name", "count"),
    # The prefix of one condition has a shape that could be taken for that of all.
    [(name, C) for name in METHODS] + [(name, 1) for name in METHODS if "prompts" in name],
)
def test_a_cache_changes_nothing(name, count):
    """Greedy decoding with a cache draws what whole sequences without one say."""
    net, (params, told) = NETS["ar"], run_with(name, "ar")
    told = jax.tree.map(lambda x: x[:count], dict(told))
    drawn = greedy(net, params, told)
    again = predicted(net, params, drawn, told).argmax(axis=-1)
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "class_deep_prompts"])
def test_a_kept_part_of_a_sequence_changes_nothing(name):
    """A MaskGIT that runs some positions again sees the rest as it was."""
    whole, kept, part, again = partly_again(*run_with(name, "nar"))
    chex.assert_trees_all_close(part, whole[:, [4, 7]], atol=1e-5)
    chex.assert_trees_all_close(again, kept, atol=1e-5)


@jax.jit
def partly_again(params, told):
    """Results and caches of whole sequences, and of positions 4 and 7 after them."""
    net, variables = NETS["nar"], {"params": params}
    ids = net.ids(batch()["tokens"][:C], told.get("class_ids"))
    x = net.apply(variables, ids, told.get("prompts"), method="sequence")
    whole, cache = net.apply(variables, x, method="run")
    positions = np.broadcast_to([4, 7], (C, 2))
    part, again = net.apply(variables, x[:, positions[0]], cache, positions, method="run")
    return whole, cache, part, again


@functools.partial(jax.jit, static_argnames="family")
def drawn_from(family, params, told, rows):
    told = {k: x[None] if k == "prompts" else x for k, x in told.items()}
    keys = jax.random.split(jax.random.key(1), len(rows))
    options = {"num_iterations": 3} if family == "nar" else {}
    return generate(NETS[family], params, keys, 9, rows=rows, **told, **options)[0]


@families
@pytest.mark.parametrize("name", ["prompts", "deep_prompts", "class_deep_prompts"])
def test_every_class_is_drawn_from_its_own_condition(name, family):
    params, told = run_with(name, family)
    rows = np.array([0, 2, 1, 2])
    # One more condition, so that both runs are of the same program.
    all_, each = (
        jax.tree.map(lambda x, i=i: x[i], dict(told)) for i in (np.array([0, 1, 2, 0]), rows)
    )
    np.testing.assert_array_equal(
        drawn_from(family, params, all_, rows), drawn_from(family, params, each, np.arange(4))
    )


def of_each_class(family, params):
    """Returns deep prompts that all classes share as those of each class."""
    layers = {name: part for name, part in params.items() if name != "class_embeddings"}
    repeated = jax.tree.map(lambda x: np.stack([x] * C), layers)
    return repeated | {"class_embeddings": params["class_embeddings"]}


@families
def test_deep_prompts_that_are_alike_are_shared_ones(family):
    """The same loss, gradients and tokens, also if guidance leads away from the source."""
    net, params = NETS[family], trained("deep_prompts", family)[1]
    cases = (
        (METHODS["deep_prompts"](net), params),
        (METHODS["class_deep_prompts"](net), of_each_class(family, params)),
    )
    objective = Objective(net, 0.1, "cosine")
    keys, found = jax.random.split(jax.random.key(1), C), []
    for method, own in cases:

        @jax.jit
        def run(own, method=method):
            def mean(own):
                told = method.conditions(own, batch()["label"])
                adapted = method.params(source(family), own)
                return objective(adapted, batch()["tokens"], jax.random.key(0), **told).mean()

            adapted, told = (
                method.params(source(family), own),
                method.conditions(own, jnp.arange(C)),
            )
            options = {"guidance": 3.0, "domain_guidance": True, "source": source(family)}
            drawn = generate(net, adapted, keys, 9, **told, **options)[0]
            return jax.value_and_grad(mean)(own), drawn

        found.append(run(own))
    ((one, by_all), drawn), ((other, by_each), drawn_each) = found
    np.testing.assert_allclose(one, other, rtol=1e-5)
    chex.assert_trees_all_close(by_all["class_embeddings"], by_each["class_embeddings"], rtol=1e-3)
    summed = jax.tree.map(lambda x: x.sum(axis=0), by_each) | {"class_embeddings": {}}
    chex.assert_trees_all_close(summed, by_all | {"class_embeddings": {}}, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(drawn, drawn_each)


def test_prompts_train_alone_until_their_updates_are_done():
    # Weight decay would move what has no gradient yet.
    decaying = optax.adamw(1e-2, weight_decay=0.5)
    task = make_task("prompts_lora", NETS["nar"], optimizer=decaying)
    state, step = task.init(jax.random.key(3)), jax.jit(task.train_step)
    moved = []
    for number in range(2):
        before = state.params
        state, _ = step(state, task.frozen, batch(number), jax.random.key(number))
        moved.append(own("prompts_lora", "nar") - unmoved(before, state.params))
    assert moved[0] == own("prompts", "nar")
    assert moved[1] == own("prompts_lora", "nar")


@families
@methods
def test_trained_parameters_are_float32_beside_smaller_matrices(name, family):
    net = NETS[family].clone(num_layers=1)
    task = make_task(name, net, lambda params, net: cast_matrices(params, jnp.bfloat16))
    state = jax.eval_shape(task.init, jax.random.key(3))
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    after, _ = jax.eval_shape(task.train_step, state, task.frozen, batch(), jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(state.params, after.params)


@pytest.mark.parametrize("name", ["lora", "finetune"])
def test_the_transformers_own_dropout_is_on_where_it_is_trained(name):
    """On a GPT, whose objective draws nothing else."""
    net = NETS["ar"].clone(dropout_rate=0.5, num_layers=1)
    task = make_task(name, net)
    state, step = task.init(jax.random.key(3)), jax.jit(task.train_step)
    first, second = (
        step(state, task.frozen, batch(), jax.random.key(number))[1]["loss"] for number in (0, 1)
    )
    assert bool(first == second) == (name in FROZEN)


def test_the_sentence_of_prompts_with_lora_names_a_first_stage_if_there_is_one():
    method = prompts_lora.PromptsLoRA(prompt_steps=1500)
    assert "tokens and, after 1,500 updates, LoRA of rank 4," in method.sentence("NAR")
    together = dataclasses.replace(method, prompt_steps=0).sentence("NAR")
    assert "tokens and LoRA of rank 4, trained on a frozen NAR transformer" in together
