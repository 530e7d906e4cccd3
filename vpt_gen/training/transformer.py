"""Task: pretrain the masked transformer on visual tokens, class-conditional.

MaskGIT (arXiv 2202.04200, sec. 3.1). With probability `class_dropout` an example's class token
is replaced by the mask token, so that the model also learns the unconditional distribution.
"""

import jax
import jax.numpy as jnp
import optax

from vpt_gen.decode.generate import generate_tokens, tokens_to_images, unknown_ids
from vpt_gen.nets.maskgit import MASK_TOKEN_ID, MaskGIT
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import losses
from vpt_gen.training.state import Batch, Params, Task, TrainState, apply_gradients
from vpt_gen.training.tokens import visual_tokens

NUM_PICTURES = 64


def make_task(
    net: MaskGIT,
    tokenizer: VQGAN,
    tokenizer_params: Params,
    optimizer: optax.GradientTransformation,
    *,
    class_dropout: float,
    label_smoothing: float,
    mask_schedule: str,
    decode_options: dict,
) -> Task:
    """Builds the pretraining task.

    Args:
      net: the transformer to train.
      tokenizer: net that made (or makes) the visual tokens; frozen.
      tokenizer_params: its parameters.
      optimizer: for all parameters of `net`.
      class_dropout: share of examples trained without their class.
      label_smoothing: see `losses.masked_cross_entropy`.
      mask_schedule: from which training mask rates are drawn.
      decode_options: of the pictures, see `decode.parallel.decode`.
    """

    def init(key: jax.Array) -> TrainState:
        params = net.init(key, jnp.zeros((1, net.num_tokens + 1), jnp.int32))["params"]
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def example_losses(params: Params, tokens, class_ids, key, dropout_key=None):
        masked, weights = losses.draw_masks(key, tokens, mask_schedule)
        ids = jnp.concatenate([class_ids[:, None], masked], axis=1)
        logits = net.apply(
            {"params": params},
            ids,
            deterministic=dropout_key is None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
            method="visual_logits",
        )
        return losses.masked_cross_entropy(logits[:, 1:], tokens, weights, label_smoothing)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        mask_key, class_key, dropout_key = jax.random.split(key, 3)
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        dropped = jax.random.bernoulli(class_key, class_dropout, batch["label"].shape)
        class_ids = jnp.where(dropped, MASK_TOKEN_ID, net.codebook_size + batch["label"])

        def objective(params):
            return example_losses(params, tokens, class_ids, mask_key, dropout_key).mean()

        loss, gradients = jax.value_and_grad(objective)(state.params)
        metrics = {"loss": loss, "gradient_norm": optax.global_norm(gradients)}
        return apply_gradients(state, gradients, optimizer), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        class_ids = net.codebook_size + batch["label"]
        return {"loss": example_losses(params, tokens, class_ids, key)}

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del batch
        class_ids = jnp.arange(NUM_PICTURES) % net.num_classes
        ids = unknown_ids(net, class_ids, NUM_PICTURES)
        keys = jax.random.split(key, NUM_PICTURES)
        tokens, _ = generate_tokens(net, params, keys, ids, **decode_options)
        return {"samples": tokens_to_images(tokenizer, frozen["tokenizer"], tokens)}

    return Task(init, train_step, eval_step, pictures, {"tokenizer": tokenizer_params})
