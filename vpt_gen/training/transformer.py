"""Task: pretrain a transformer on visual tokens, class-conditional.

Masked (MaskGIT, arXiv 2202.04200) or causal (Taming Transformers, arXiv 2012.09841). A masked
transformer gets an example without its class with probability `class_dropout`, so that it also
learns the unconditional distribution.
"""

import jax
import jax.numpy as jnp
import optax

from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import NO_CLASS, TokenTransformer
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

NUM_PICTURES = 64
_PICTURES_AT_A_TIME = 8  # through the tokenizer


def make_task(
    net: TokenTransformer,
    objective: Objective,
    tokenizer: Tokenizer,
    tokenizer_params: Params,
    optimizer: optax.GradientTransformation,
    *,
    num_classes: int,
    num_tokens: int,
    class_dropout: float,
    decode_options: dict,
    dtype: str = "float32",
    scan_layers: bool = False,
    accumulate: int = 1,
    start: Params | None = None,
) -> Task:
    """Builds the pretraining task.

    Args:
      net: the transformer to train.
      objective: see `training/objectives.py`.
      tokenizer: net that makes the visual tokens; frozen.
      tokenizer_params: its parameters.
      optimizer: for all parameters of `net`.
      num_classes: of the data.
      num_tokens: N, visual tokens of an image.
      class_dropout: share of examples trained without their class; see
        `TokenTransformer.dropping_classes`.
      decode_options: of the pictures, see `decode.generate`.
      dtype: of the net's matrices in products; they are stored and updated in float32.
      scan_layers: whether the state holds the layers stacked, see `nets/stack.py`.
      accumulate: parts in which an update computes its batch, see `training/parts.py`.
      start: the first parameters, as `net` has them; None for random ones.
    """

    def init(params: Params | None, key: jax.Array) -> TrainState:
        if params is None:
            tokens = jnp.zeros((1, num_tokens), jnp.int32)
            params = net.init(key, tokens, class_ids=tokens[:, 0])["params"]
        if scan_layers:
            params = stack_layers(params, net.layer_prefix)
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        mask_key, class_key, dropout_key = jax.random.split(key, 3)
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch, accumulate)
        dropped = jax.random.bernoulli(class_key, class_dropout, batch["label"].shape)
        class_ids = jnp.where(dropped, NO_CLASS, batch["label"])
        examples = objective.examples(tokens, mask_key)

        def losses(params, part: Part):
            return objective.losses(
                cast_matrices(params, dtype),
                part.rows(examples),
                class_ids=part.rows(class_ids),
                dropout_key=part.key(dropout_key),
            )

        loss, gradients = mean_and_gradient(losses, state.params, accumulate)
        metrics = {"loss": loss, "gradient_norm": optax.global_norm(gradients)}
        return apply_gradients(state, gradients, optimizer), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        tokens = visual_tokens(tokenizer, frozen["tokenizer"], batch)
        params = cast_matrices(params, dtype)
        return {"loss": objective(params, tokens, key, class_ids=batch["label"])}

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del batch
        count = min(NUM_PICTURES, num_classes)
        params = cast_matrices(params, dtype)
        tokens, _ = generate(
            net,
            params,
            jax.random.split(key, NUM_PICTURES),
            num_tokens,
            class_ids=jnp.arange(count),
            rows=jnp.arange(NUM_PICTURES) % count,
            source=params,
            **decode_options,
        )
        images = tokens_to_images(tokenizer, frozen["tokenizer"], tokens, _PICTURES_AT_A_TIME)
        return {"samples": images}

    # Large arrays are arguments of compiled functions, not constants in them.
    init_from = jax.tree_util.Partial(init, start)
    return Task(init_from, train_step, eval_step, pictures, {"tokenizer": tokenizer_params})
