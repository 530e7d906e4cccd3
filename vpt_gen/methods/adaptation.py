"""Task: adapt a pretrained transformer to new images by a method; its tokenizer is frozen.

Only the method's parameters have gradients and optimizer state. Unlike in the release of prompt
tuning, the mask is drawn per example and from an explicit key.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.methods.method import STAGED, Conditions, Method
from vpt_gen.methods.prior import prior_losses
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training.objectives import Objective
from vpt_gen.training.parts import Part, mean_and_gradient
from vpt_gen.training.state import (
    Batch,
    Params,
    Task,
    TrainState,
    apply_gradients,
)
from vpt_gen.training.tokens import visual_tokens

# Enough to watch, as drawing takes longer than many updates.
NUM_PICTURES = 16
PICTURES_AT_A_TIME = 8  # through the tokenizer


def make_task(
    method: Method,
    net: TokenTransformer,
    objective: Objective,
    tokenizer: Tokenizer,
    backbone: Params,
    optimizer: optax.GradientTransformation,
    *,
    num_tokens: int,
    decode_options: dict,
    accumulate: int = 1,
    prior_weight: float = 0.0,
) -> Task:
    """Builds the task of a method.

    Args:
      method: what is trained.
      net: the transformer.
      objective: what it predicts, see `training/objectives.py`.
      tokenizer: the frozen tokenizer.
      backbone: {"transformer": ..., "tokenizer": ...} pretrained parameters of both.
      optimizer: for the method's parameters.
      num_tokens: N, visual tokens of an image.
      decode_options: of the pictures, see `decode.generate`.
      accumulate: parts in which an update computes its batch, see `training/parts.py`.
      prior_weight: of the loss of the source's own images, which batches then have, see
        `methods/prior.py`; 0 for none.
    """

    def init(source: Params, key: jax.Array) -> TrainState:
        params = method.init(key, source)
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def conditions(params: Params, batch: Batch, dropout_key: jax.Array) -> Conditions:
        instance_ids = batch["index"] if method.num_instances else None
        return method.conditions(params, batch["label"], instance_ids, dropout_key)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        mask_key, dropout_key, prior_key = jax.random.split(key, 3)
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch, accumulate)
        # Masks and prompts are drawn for the whole batch, so that they do not depend on its parts.
        examples = objective.examples(tokens, mask_key)

        def losses(params, part: Part):
            adapted = method.params(frozen["transformer"], params)
            of_images = objective.losses(
                adapted,
                part.rows(examples),
                source=frozen["transformer"],
                **part.rows(conditions(params, batch, dropout_key)),
                dropout_key=part.key(dropout_key) if method.whole else None,
            )
            if not prior_weight:
                return of_images
            of_source = prior_losses(objective, adapted, batch, part, prior_key, method.whole)
            return of_images + prior_weight * of_source

        loss, gradients = mean_and_gradient(losses, state.params, accumulate)
        if method.in_turn is not None:
            gradients = method.in_turn(state.step, gradients)
        metrics = {"loss": loss, "gradient_norm": optax.global_norm(gradients)}
        return apply_gradients(state, gradients, optimizer, method.in_turn), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        told = method.conditions(params, batch["label"])
        source = frozen["transformer"]
        return {
            "loss": objective(method.params(source, params), tokens, key, source=source, **told)
        }

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del batch
        count = min(NUM_PICTURES, method.num_classes or method.num_instances)
        ids = jnp.arange(count)
        told: dict[str, Any] = dict(
            method.conditions(params, ids, None if method.num_classes else ids)
        )
        for name in told.keys() & STAGED:
            told[name] = told[name][None]  # The same in all stages.
        tokens, _ = generate(
            net,
            method.params(frozen["transformer"], params),
            jax.random.split(key, NUM_PICTURES),
            num_tokens,
            rows=jnp.arange(NUM_PICTURES) % count,
            source=frozen["transformer"] or None,
            **told,
            **decode_options,
        )
        images = tokens_to_images(tokenizer, frozen["tokenizer"], tokens, PICTURES_AT_A_TIME)
        return {"samples": images}

    return Task(
        # Large arrays are arguments of compiled functions, not constants in them.
        jax.tree_util.Partial(init, backbone["transformer"]),
        train_step,
        eval_step,
        pictures,
        method.frozen(backbone, decode_options),
    )
