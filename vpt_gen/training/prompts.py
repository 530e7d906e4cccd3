"""Task: prompt tuning. Only the prompt generator learns; tokenizer and transformer are frozen.

Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer. Unlike the release, the mask is drawn per example and from an
explicit key.
"""

import jax
import jax.numpy as jnp
import optax

from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator, init_params
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective
from vpt_gen.training.state import Batch, Params, Task, TrainState, apply_gradients
from vpt_gen.training.tokens import visual_tokens

NUM_PICTURES = 64
_PICTURES_AT_A_TIME = 8  # through the tokenizer


def make_task(
    generator: PromptGenerator,
    net: MaskGIT | GPT,
    objective: Objective,
    tokenizer: VQGAN,
    frozen: Params,
    optimizer: optax.GradientTransformation,
    *,
    num_tokens: int,
    decode_options: dict,
) -> Task:
    """Builds the prompt-tuning task.

    Args:
      generator: the prompt generator to train.
      net: the frozen transformer.
      objective: what it predicts, see `training/objectives.py`.
      tokenizer: the frozen tokenizer.
      frozen: {"transformer": ..., "tokenizer": ...} parameters of both.
      optimizer: for the generator.
      num_tokens: N, visual tokens of an image.
      decode_options: of the pictures, see `decode.generate`.
    """

    def init(key: jax.Array) -> TrainState:
        params = init_params(generator, key)
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def conditions(batch: Batch) -> dict[str, jax.Array]:
        class_ids = {"class_ids": batch["label"]} if generator.num_classes else {}
        return class_ids | ({"instance_ids": batch["index"]} if generator.num_instances else {})

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        mask_key, dropout_key = jax.random.split(key)
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)

        def mean_loss(params):
            prompts = generator.apply(
                {"params": params},
                **conditions(batch),
                deterministic=False,
                rngs={"dropout": dropout_key},
            )
            return objective(frozen["transformer"], tokens, mask_key, prompts=prompts).mean()

        loss, gradients = jax.value_and_grad(mean_loss)(state.params)
        metrics = {"loss": loss, "gradient_norm": optax.global_norm(gradients)}
        return apply_gradients(state, gradients, optimizer), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        prompts = generator.apply({"params": params}, class_ids=batch["label"])
        return {"loss": objective(frozen["transformer"], tokens, key, prompts=prompts)}

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del batch
        count = min(NUM_PICTURES, generator.num_classes or generator.num_instances)
        condition = "class_ids" if generator.num_classes else "instance_ids"
        prompts = generator.apply({"params": params}, **{condition: jnp.arange(count)})
        tokens, _ = generate(
            net,
            frozen["transformer"],
            jax.random.split(key, NUM_PICTURES),
            num_tokens,
            prompts=prompts[None],
            rows=jnp.arange(NUM_PICTURES) % count,
            **decode_options,
        )
        images = tokens_to_images(tokenizer, frozen["tokenizer"], tokens, _PICTURES_AT_A_TIME)
        return {"samples": images}

    return Task(init, train_step, eval_step, pictures, frozen)
