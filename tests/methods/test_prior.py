"""Prior preservation: the loss of an update, on both families."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.test_methods import METHODS, NETS, SGD, batch, families, source
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import TRANSFORMER_METHODS, default_config
from vpt_gen.errors import UserError
from vpt_gen.methods import adaptation
from vpt_gen.methods.prior import LABELS, TOKENS
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective


def first_loss(task, of_images):
    """The loss of the first update, whose new class tokens are none of the source's."""
    state = task.init(jax.random.key(3))
    table = state.params["class_embeddings"]
    params = {**state.params, "class_embeddings": jax.tree.map(lambda x: x + 1.0, table)}
    step = jax.jit(task.train_step)
    _, metrics = step(state.replace(params=params), task.frozen, of_images, jax.random.key(4))
    return float(metrics["loss"])


@pytest.mark.slow
@families
@pytest.mark.parametrize(("name", "parts", "distilled"), [("lora", 1, 2.0), ("finetune", 2, 0.0)])
def test_the_loss_is_that_of_both(family, name, parts, distilled):
    net, plain = NETS[family], Objective(NETS[family], 0.1, "cosine")
    objective = dataclasses.replace(plain, distilled_guidance=distilled)
    nets = {"transformer": source(family), "tokenizer": {}}

    def task(**options):
        options = {"num_tokens": 9, "decode_options": {}, "accumulate": parts, **options}
        return adaptation.make_task(
            METHODS[name](net), net, objective, VQGAN(), nets, SGD, **options
        )

    drawn, classes = batch(7)["tokens"], jnp.arange(6) % 2
    # Next to the keys of the new images' masks and dropout.
    key = jax.random.split(jax.random.split(jax.random.key(4), 3)[2])[0]
    of_source = plain(source(family), drawn, key, class_ids=classes).mean()
    new = first_loss(task(), batch())
    both = first_loss(task(prior_weight=0.5), {**batch(), TOKENS: drawn, LABELS: classes})
    np.testing.assert_allclose(both, new + 0.5 * of_source, rtol=1e-5)
    assert of_source > 0.1


@pytest.mark.parametrize("name", TRANSFORMER_METHODS)
def test_only_methods_that_change_the_source_take_it(name):
    config = default_config(name)
    config.data.path = "images"
    config.prior.weight = 1.0
    if name in ("norms", "norm_bias", "difffit", "lora", "prompts_lora", "adapters", "finetune"):
        check_config(config)
        return
    with pytest.raises(UserError, match=f"prior.weight is 1.0; it must be 0 with .*'{name}'"):
        check_config(config)
