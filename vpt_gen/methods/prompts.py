"""Method: prompt tuning. A prompt generator learns; its prompts take the class token's place.

Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer.
"""

import jax

from vpt_gen.methods.method import Conditions, Method
from vpt_gen.nets.prompt_generator import PromptGenerator, init_params
from vpt_gen.training.state import Params


def make_method(generator: PromptGenerator) -> Method:
    """Trains the generator's parameters alone; the transformer runs as it is."""

    def init(key: jax.Array, source: Params) -> Params:
        del source
        return init_params(generator, key)

    def conditions(
        trained: Params,
        class_ids: jax.Array | None,
        instance_ids: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Conditions:
        prompts = generator.apply(
            {"params": trained},
            class_ids if generator.num_classes else None,
            instance_ids if generator.num_instances else None,
            deterministic=dropout_key is None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
        )
        return {"prompts": prompts}

    return Method(
        init,
        generator.num_classes,
        lambda frozen, trained: frozen,
        conditions,
        generator,
    )
