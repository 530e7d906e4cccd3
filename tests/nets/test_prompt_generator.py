"""The prompt generator against the released one, alone and in front of the transformer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.nets.prompt_generator import (
    DESIGNS,
    NO_INSTANCE,
    PromptGenerator,
    init_params,
    num_parameters,
)

FILE = "prompt.npz"
KINDS = golden.prompt_kinds()


def class_ids() -> np.ndarray:
    return golden.load(FILE, "class_ids")[:, 0]


def prompts(kind: str) -> jax.Array:
    net, variables = golden.prompt_generator(kind)
    return net.apply(variables, class_ids())


def conditioned(kind: str, method: str) -> jax.Array:
    return golden.run_maskgit(method, golden.load(FILE, "ids"), prompts(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_tree_is_the_released_one(kind):
    net, variables = golden.prompt_generator(kind)
    made = jax.eval_shape(net.init, jax.random.key(0), class_ids())
    assert golden.layout(made) == golden.layout(variables)


@pytest.mark.parametrize("kind", KINDS)
def test_prompts(kind):
    golden.check(FILE, f"prompts_{kind}", prompts(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_conditioned_logits(kind):
    name = f"cond_logits_{kind}"
    columns = golden.load(FILE, name).shape[-1]
    golden.check(FILE, name, conditioned(kind, "vocabulary_logits")[..., :columns])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_conditioned_visual_logits_are_the_last_rows(kind):
    name = f"cond_logits_{kind}"
    rows = golden.load(FILE, "ids").shape[1]
    columns = golden.maskgit()[0].codebook_size
    expected = golden.load(FILE, name)[:, -rows:, :columns]
    atol = golden.tolerance(FILE, name)
    golden.assert_near(conditioned(kind, "visual_logits"), expected, atol, name)


@pytest.mark.parametrize("kind", golden.cases(FILE, r"cond_logits_sliced_(\w+)"))
def test_conditioned_visual_logits(kind):
    golden.check(FILE, f"cond_logits_sliced_{kind}", conditioned(kind, "visual_logits"))


@pytest.mark.slow
@pytest.mark.parametrize("hidden_size", [None, 6])
def test_shape_and_dropout(hidden_size):
    net = PromptGenerator(5, 3, feature_size=8, hidden_size=hidden_size, dropout_rate=0.5)
    ids = jnp.array([4, 0])
    variables = jax.jit(net.init)(jax.random.key(0), ids)
    still = net.apply(variables, ids)
    chex.assert_shape(still, (2, 3, hidden_size or 8))
    chex.assert_trees_all_equal(
        still, net.apply(variables, ids, rngs={"dropout": jax.random.key(1)})
    )
    noisy = net.apply(variables, ids, deterministic=False, rngs={"dropout": jax.random.key(1)})
    dropped = noisy == 0.0
    assert 0 < dropped.mean() < 1
    chex.assert_trees_all_close(noisy, jnp.where(dropped, 0.0, 2.0 * still), atol=1e-6)


@pytest.mark.slow
def test_a_prompt_depends_on_its_own_class_only():
    net = PromptGenerator(5, 3, feature_size=8)
    variables = jax.jit(net.init)(jax.random.key(0), jnp.array([0]))
    pair = net.apply(variables, jnp.array([1, 2]))
    chex.assert_trees_all_close(pair[1:], net.apply(variables, jnp.array([2])), atol=1e-6)
    assert np.abs(pair[0] - pair[1]).max() > 1e-2


def fields_of(design, num_classes, num_instances):
    return PromptGenerator(
        num_classes,
        3,
        feature_size=8,
        dropout_rate=0.0,
        design=design,
        num_factors=4 if design == "factorized" else 1,
        num_instances=num_instances,
        instance_dropout=1.0,
    )


CONDITIONS = [(5, 0), (0, 7), (5, 7)]


@pytest.mark.parametrize(("num_classes", "num_instances"), CONDITIONS)
@pytest.mark.parametrize("design", DESIGNS)
def test_parameter_counts_are_the_formulas(design, num_classes, num_instances):
    net = fields_of(design, num_classes, num_instances)
    norm = 2 * 8
    conditions = num_classes + num_instances
    factors = 4 if design == "factorized" else 1
    tables = conditions * 3 * 8 if design == "full" else (conditions + 3) * 8 * factors
    assert num_parameters(net) == tables + norm
    assert num_parameters(net.clone(hidden_size=6)) == tables + norm + (8 + 1) * 6


def variables_of(net):
    """Far from their start, where products of embeddings nearly vanish."""
    params = init_params(net, jax.random.key(0))
    return {"params": jax.tree.map(lambda x: 50.0 * x if x.ndim > 1 else x, params)}


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_formulas_of_the_designs(design):
    net = fields_of(design, 5, 7)
    variables = variables_of(net)
    class_ids, instance_ids = jnp.array([4, 0, 2]), jnp.array([6, NO_INSTANCE, 1])
    tables = {k: v["embedding"] for k, v in variables["params"].items() if "embedding" in v}
    condition = tables["prompt_embeddings"][class_ids] + jnp.where(
        instance_ids[:, None] < 0, 0.0, tables["prompt_instance_embeddings"][instance_ids]
    )
    if design == "full":
        expected = condition.reshape(3, 3, 8)
    else:
        position = tables["prompt_position_embeddings"].reshape(1, 3, -1, 8)
        condition = condition.reshape(3, 1, -1, 8)
        both = condition + position if design == "additive" else condition * position
        expected = both.sum(axis=2)
    prompts = net.apply(variables, class_ids, instance_ids)
    np.testing.assert_allclose(prompts, layer_norm(expected), atol=1e-4)


@pytest.mark.slow
def test_instances_are_dropped_in_training_only():
    net = fields_of("additive", 5, 7)  # Drops all of them.
    variables = variables_of(net)
    ids, instances = jnp.array([1, 2]), jnp.array([3, 4])
    alone = net.apply(variables, ids)
    assert np.abs(net.apply(variables, ids, instances) - alone).max() > 1e-2
    rngs = {"dropout": jax.random.key(0)}
    trained = net.apply(variables, ids, instances, deterministic=False, rngs=rngs)
    chex.assert_trees_all_close(trained, alone, atol=1e-6)
    # Without classes there would be nothing left.
    net = fields_of("additive", 0, 7)
    variables = variables_of(net)
    kept = net.apply(variables, None, instances, deterministic=False, rngs=rngs)
    chex.assert_trees_all_close(kept, net.apply(variables, None, instances), atol=1e-6)


def test_conditions_that_the_generator_does_not_know_are_errors():
    ids = jnp.array([0])
    for net, conditions, message in (
        (fields_of("additive", 5, 0), (None,), "need class ids"),
        (fields_of("additive", 0, 7), (None,), "need instance ids"),
        (fields_of("additive", 5, 0), (ids, ids), "have no instances"),
        (PromptGenerator(5, 3, 8, design="cubic"), (ids,), "'cubic' is not one of"),
    ):
        with pytest.raises(ValueError, match=message):
            net.init(jax.random.key(0), *conditions)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("hidden_size", [None, 6])
def test_a_vector_is_one_more_token_that_starts_at_zero(design, hidden_size):
    plain = fields_of(design, 5, 7).clone(hidden_size=hidden_size, dropout_rate=0.0)
    net = plain.clone(vector=True)
    params = init_params(net, jax.random.key(0))
    made = net.apply({"params": params}, jnp.array([4, 0]), jnp.array([6, 1]))
    assert made.shape == (2, 4, hidden_size or 8)
    np.testing.assert_array_equal(made[:, -1], 0.0)
    own = {name: x for name, x in params.items() if not name.startswith("prompt_vector")}
    prompts = plain.apply({"params": own}, jnp.array([4, 0]), jnp.array([6, 1]))
    np.testing.assert_array_equal(made[:, :-1], prompts)
    # It learns from the first update on.
    gradient = jax.grad(
        lambda params: net.apply({"params": params}, jnp.array([4, 0]))[:, -1].sum()
    )(params)
    moving = [name for name, x in gradient.items() if np.abs(jax.tree.leaves(x)[0]).max() > 1e-3]
    factorized = design == "factorized"
    assert moving == ["prompt_vector_factors" if factorized else "prompt_vector_embeddings"]


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_formulas_of_the_vector(design):
    net = fields_of(design, 5, 7).clone(vector=True)
    params = init_params(net, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), len(params))
    # All of it far from its start.
    params = {
        name: jax.tree.map(lambda x, key=key: jax.random.normal(key, x.shape), x)
        for key, (name, x) in zip(keys, params.items(), strict=True)
    }
    class_ids, instance_ids = jnp.array([4, 0, 2]), jnp.array([6, NO_INSTANCE, 1])
    tables = {k: v["embedding"] for k, v in params.items() if "embedding" in v}

    def condition(of_class, of_instance):
        rows = jnp.where(instance_ids[:, None] < 0, 0.0, tables[of_instance][instance_ids])
        return tables[of_class][class_ids] + rows

    if design == "factorized":
        factors = tables["prompt_vector_factors"].reshape(1, -1, 8)
        embedded = condition("prompt_embeddings", "prompt_instance_embeddings").reshape(3, -1, 8)
        expected = (layer_norm(embedded) * factors).sum(axis=1)
    else:
        expected = condition("prompt_vector_embeddings", "prompt_vector_instance_embeddings")
    vectors = net.apply({"params": params}, class_ids, instance_ids)[:, -1]
    np.testing.assert_allclose(vectors, expected, atol=1e-4)


def test_a_vector_alone_has_a_row_for_each_class():
    net = PromptGenerator(5, 0, 8, vector=True)
    assert num_parameters(net) == 5 * 8
    assert num_parameters(net.clone(num_instances=7)) == (5 + 7) * 8
    assert num_parameters(net.clone(hidden_size=6)) == 5 * 8 + 8 * 6
    factorized = net.clone(design="factorized", num_factors=3)
    assert num_parameters(factorized) == (5 + 1) * 3 * 8
