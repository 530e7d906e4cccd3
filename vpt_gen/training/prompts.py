"""Task: prompt tuning. Only the prompt generator learns; tokenizer and transformer are frozen.

Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer. Unlike the release, the mask is drawn per example and from an
explicit key.
"""

import jax
import jax.numpy as jnp
import optax

from vpt_gen.decode import marquee
from vpt_gen.decode.generate import generate_tokens, tokens_to_images, unknown_ids
from vpt_gen.nets.maskgit import MASK_TOKEN_ID, MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import losses
from vpt_gen.training.state import Batch, Params, Task, TrainState, apply_gradients
from vpt_gen.training.tokens import visual_tokens

NUM_PICTURES = 64


def prompted_losses(
    net: MaskGIT, params: Params, prompts: jax.Array, masked, tokens, weights, label_smoothing
) -> jax.Array:
    """Losses (B,) of the frozen transformer given prompts.

    Args:
      net: the transformer.
      params: its parameters.
      prompts: (B, S, D).
      masked: (B, N) tokens with `MASK_TOKEN_ID` where masked.
      tokens: (B, N) targets.
      weights: (B, N), 1.0 where masked.
      label_smoothing: see `losses.masked_cross_entropy`.
    """
    ids = jnp.pad(masked, ((0, 0), (1, 0)), constant_values=MASK_TOKEN_ID)
    logits = net.apply({"params": params}, ids, prompts, method="visual_logits")
    return losses.masked_cross_entropy(logits[:, 1:], tokens, weights, label_smoothing)


def make_task(
    generator: PromptGenerator,
    net: MaskGIT,
    tokenizer: VQGAN,
    frozen: Params,
    optimizer: optax.GradientTransformation,
    *,
    label_smoothing: float,
    mask_schedule: str,
    decode_options: dict,
) -> Task:
    """Builds the prompt-tuning task.

    Args:
      generator: the prompt generator to train.
      net: the frozen transformer.
      tokenizer: the frozen tokenizer.
      frozen: {"transformer": ..., "tokenizer": ...} parameters of both.
      optimizer: for the generator.
      label_smoothing: see `losses.masked_cross_entropy`.
      mask_schedule: from which training mask rates are drawn.
      decode_options: of the pictures, see `decode.parallel.decode`; `num_iterations` is needed.
    """

    def init(key: jax.Array) -> TrainState:
        params = generator.init(key, jnp.zeros((1,), jnp.int32))["params"]
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        mask_key, dropout_key = jax.random.split(key)
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        masked, weights = losses.draw_masks(mask_key, tokens, mask_schedule)

        def objective(params):
            prompts = generator.apply(
                {"params": params},
                batch["label"],
                deterministic=False,
                rngs={"dropout": dropout_key},
            )
            return prompted_losses(
                net, frozen["transformer"], prompts, masked, tokens, weights, label_smoothing
            ).mean()

        loss, gradients = jax.value_and_grad(objective)(state.params)
        metrics = {"loss": loss, "gradient_norm": optax.global_norm(gradients)}
        return apply_gradients(state, gradients, optimizer), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        masked, weights = losses.draw_masks(key, tokens, mask_schedule)
        prompts = generator.apply({"params": params}, batch["label"])
        return {
            "loss": prompted_losses(
                net, frozen["transformer"], prompts, masked, tokens, weights, label_smoothing
            )
        }

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del batch
        class_ids = jnp.arange(NUM_PICTURES) % generator.num_classes
        prompts = generator.apply({"params": params}, class_ids)
        weights = marquee.constant(decode_options["num_iterations"])
        tokens, _ = generate_tokens(
            net,
            frozen["transformer"],
            jax.random.split(key, NUM_PICTURES),
            unknown_ids(net, None, NUM_PICTURES),
            marquee.interpolate(weights, prompts[:, None]),
            **decode_options,
        )
        return {"samples": tokens_to_images(tokenizer, frozen["tokenizer"], tokens)}

    return Task(init, train_step, eval_step, pictures, frozen)
