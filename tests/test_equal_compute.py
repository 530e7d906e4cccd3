"""The comparison of kinds of nets is one at equal compute, as counted in the programs' products."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from vpt_gen.config import flag
from vpt_gen.methods import METHODS
from vpt_gen.methods.record import Target
from vpt_gen.nets import NETS
from vpt_gen.recipes.small import NETS_COMPARED, small_source, small_tokenizer
from vpt_gen.study.runs import Runs
from vpt_gen.tables import flops
from vpt_gen.tables.costs import param_shapes
from vpt_gen.training.objectives import Objective

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
STUDY = flag.load(CONFIGS / "study_backbones.py")
TRAINED = [name for name, of in STUDY.variants.items() if not of.trained_as]
CODES, CLASSES, DIGITS, PLACES = 256, 73, 10, 64


def small_net(name):
    """Builds a net as its pretraining does."""
    fields = small_source(name).model.to_dict()
    kind = NETS[fields.pop("net")]
    del fields["class_dropout"]
    tokens = small_tokenizer().model.num_tokens if kind.one_dimensional else PLACES
    return kind.for_data(CODES, CLASSES, tokens, **fields).dropping_classes(CLASSES), tokens


def counted(net, num_tokens, batch_size, trained, losses):
    """Counts the FLOPs of a loss and its gradient at what is trained."""
    tokens = jnp.zeros((batch_size, num_tokens), jnp.int32)
    class_ids = jnp.zeros(batch_size, jnp.int32)
    params = param_shapes(net)
    objective = Objective(net, 0.0, "cosine")

    def mean(part, params):
        given, told = losses(part, params, class_ids)
        return objective(given, tokens, _key(), **told).mean()

    return flops.count(jax.value_and_grad(mean), trained(params), params)


def _key():
    return jax.random.key(0)


def pretraining(name):
    config = small_source(name)
    net, num_tokens = small_net(name)

    def losses(part, params, class_ids):
        del params
        return part, {"class_ids": class_ids}

    return counted(net, num_tokens, config.batch_size, lambda params: params, losses)


def tuning(name, tmp_path):
    config = Runs(STUDY, tmp_path, tmp_path).base(name, "digits")
    record = METHODS["prompts"].from_config(config)
    net, num_tokens = small_net(STUDY.variants[name].method)
    net = record.prepared(net)
    method = record.adapt(Target(net, num_tokens, DIGITS, 0, "float32"))

    def losses(part, params, class_ids):
        return params, method.conditions(part, class_ids)

    def trained(params):
        return jax.eval_shape(lambda: method.init(_key(), params))

    return counted(net, num_tokens, config.batch_size, trained, losses)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS_COMPARED)
def test_the_flops_of_pretraining_are_those_counted(name):
    assert pretraining(name) == pytest.approx(NETS_COMPARED[name].step_flops, rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_an_update_has_the_same_flops_for_all(name, tmp_path):
    # As near as whole images allow.
    assert tuning(name, tmp_path) == pytest.approx(3.224e9, rel=0.015)
