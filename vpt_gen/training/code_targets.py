"""Task: train a TiTok to predict the codes of a trained VQGAN, the first stage of its paper.

Source: TiTok (arXiv 2406.07550), sec. 3.3, which calls them proxy codes. The VQGAN's codebook and
decoder turn predictions into pixels; they become part of the TiTok and do not train.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import losses
from vpt_gen.training.state import Batch, Metrics, Params, Task, TrainState
from vpt_gen.training.tokenizer import pictures_of, quantizer_terms, start_codebook

# Parameters of a TiTok that are the VQGAN's.
_OF_VQGAN = {("pixels", "quantizer"): "quantizer", ("pixels", "decoder"): "decoder"}


def make_task(
    net: TiTok,
    vqgan: VQGAN,
    vqgan_params: Params,
    optimizer: optax.GradientTransformation,
    *,
    codebook_factor: float,
    quantizer_start: int,
) -> Task:
    """Builds the task.

    Args:
      net: the TiTok, whose fields fit the VQGAN, see `mismatch`.
      vqgan: the net whose codes are predicted; frozen.
      vqgan_params: its parameters.
      optimizer: for the TiTok.
      codebook_factor: see `training/tokenizer.py`, as for the next.
      quantizer_start: step from which latents are quantized.
    """

    def trained(params: Params) -> Params:
        flat = traverse_util.flatten_dict(params)
        return traverse_util.unflatten_dict(
            {path: x for path, x in flat.items() if path[:2] not in _OF_VQGAN}
        )

    def merged(params: Params, part: Params) -> Params:
        flat = traverse_util.flatten_dict(params) | traverse_util.flatten_dict(part)
        return traverse_util.unflatten_dict(flat)

    def init(own: Params, key: jax.Array) -> TrainState:
        image = jnp.zeros((1, net.image_size, net.image_size, 3))
        params = net.init(key, image)["params"]
        pixels = {name: own[theirs] for (_, name), theirs in _OF_VQGAN.items()}
        params = {**params, "pixels": {**params["pixels"], **pixels}}
        opt_state = optimizer.init(trained(params))
        return TrainState(jnp.zeros((), jnp.int32), {"vqgan": params}, opt_state)

    def predict(
        params: Params, frozen: Params, images: jax.Array, quantization: jax.Array | float = 1.0
    ):
        """Returns logits and targets (B, h * w), latents and tokens."""
        given: Any = net.apply({"params": params}, images, quantization, method="predict_codes")
        logits, latents, tokens = given
        targets: Any = vqgan.apply({"params": frozen["vqgan"]}, images, method="tokenize")
        b = len(images)
        return logits.reshape(b, -1, logits.shape[-1]), targets.reshape(b, -1), latents, tokens

    def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return losses.masked_cross_entropy(logits, targets, jnp.ones(targets.shape))

    def objective(part: Params, params: Params, frozen: Params, images: jax.Array, on: jax.Array):
        params = merged(params, part)
        logits, targets, latents, tokens = predict(params, frozen, images, on)
        terms = quantizer_terms(net, params, latents, tokens, on)
        terms["codes"] = jnp.mean(cross_entropy(logits, targets))
        return sum(terms.values()), (terms, latents, tokens)

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        params = state.params["vqgan"]
        part = trained(params)
        on = jnp.float32(state.step >= quantizer_start)
        differentiated = jax.value_and_grad(objective, has_aux=True)
        (loss, (terms, latents, tokens)), gradients = differentiated(
            part, params, frozen, batch["image"], on
        )
        updates, opt_state = optimizer.update(gradients, state.opt_state, part)
        codebook = codebook_factor * updates["quantizer"]["codebook"]
        updates = {**updates, "quantizer": {"codebook": codebook}}
        params = merged(params, optax.apply_updates(part, updates))
        metrics = {
            "loss": loss,
            "perplexity": losses.perplexity(tokens, net.codebook_size),
            "gradient_norm": optax.global_norm(gradients),
            **terms,
        }
        new_state = TrainState(state.step, {"vqgan": params}, opt_state)
        if quantizer_start:
            new_state = start_codebook(new_state, key, latents, quantizer_start)
        return new_state.replace(step=state.step + 1), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del key
        images = batch["image"]
        logits, targets, _, _ = predict(params["vqgan"], frozen, images)
        reconstruction = net.apply({"params": params["vqgan"]}, images)[0]
        return {
            "codes": cross_entropy(logits, targets),
            "accuracy": jnp.mean(jnp.argmax(logits, -1) == targets, axis=-1),
            "reconstruction": jnp.mean((images - reconstruction) ** 2, (1, 2, 3)),
        }

    return Task(
        jax.tree_util.Partial(init, vqgan_params),
        train_step,
        eval_step,
        pictures_of(net),
        {"vqgan": vqgan_params},
    )


def mismatch(net: TiTok, vqgan: VQGAN) -> dict[str, Any]:
    """Returns the fields of a TiTok that do not fit a VQGAN, with the values that do."""
    needed = {
        "patch_size": vqgan.downsampling,
        "pixel_codes": vqgan.codebook_size,
        "pixel_dim": vqgan.embedding_dim,
        "filters": vqgan.filters,
        "channel_multipliers": tuple(vqgan.channel_multipliers),
        "num_res_blocks": vqgan.num_res_blocks,
    }
    return {name: value for name, value in needed.items() if getattr(net, name) != value}
