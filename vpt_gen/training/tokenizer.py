"""Task: train a tokenizer, optionally against a discriminator.

Loss terms as in MaskGIT and VQGAN (arXiv 2012.09841): reconstruction, perceptual (if a perceptual
network is available), adversarial with R1, and the quantizer's three.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from vpt_gen.nets.discriminator import Discriminator
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training import losses
from vpt_gen.training.state import (
    Batch,
    Metrics,
    Params,
    Task,
    TrainState,
)

NUM_PICTURES = 16


def quantizer_terms(
    net: Tokenizer, params: Params, latents: jax.Array, tokens: jax.Array, on: jax.Array
) -> dict[str, jax.Array]:
    """Returns the loss terms of a tokenizer's quantizer, all 0 as long as `on` is 0."""
    codebook = net.comparable(params["quantizer"]["codebook"])
    terms = losses.quantizer_losses(latents, codebook, tokens)
    return {name: on * term for name, term in terms.items()}


def start_codebook(
    state: TrainState, key: jax.Array, latents: jax.Array, quantizer_start: int
) -> TrainState:
    """Replaces the codebook by drawn latents (B, h, w, d) before the quantizer's first step.

    `state` is that after an update, with a `step` that does not count it yet.
    """
    latents = latents.reshape(-1, latents.shape[-1])
    codebook = state.params["vqgan"]["quantizer"]["codebook"]

    def draw():
        return jax.random.choice(
            key, latents, (len(codebook),), replace=len(latents) < len(codebook)
        )

    # This happens once: no other step shuffles latents or gathers them from all devices.
    begins = state.step + 1 == quantizer_start
    quantizer = {"codebook": jax.lax.cond(begins, draw, lambda: codebook)}
    vqgan = {**state.params["vqgan"], "quantizer": quantizer}
    return state.replace(params={**state.params, "vqgan": vqgan})


def make_task(
    net: Tokenizer,
    optimizer: optax.GradientTransformation,
    *,
    codebook_factor: float,
    image_size: int,
    quantizer_start: int,
    reconstruction_weight: float,
    adversarial_weight: float,
    adversarial_start: int,
    r1_cost: float,
    discriminator: Discriminator,
    perceptual_weight: float,
    perceptual: Callable[[Params, jax.Array, jax.Array], jax.Array] | None = None,
    perceptual_params: Params = None,
    start: Params = None,
) -> Task:
    """Builds the tokenizer task.

    Args:
      net: the tokenizer.
      optimizer: for the tokenizer and, separately, the discriminator.
      codebook_factor: multiplies the codebook's learning rate. Adam moves each parameter by about
        the rate; latents depend on many parameters, move faster, and would outrun the codebook.
      image_size: side of the square training images.
      quantizer_start: step from which latents are quantized, with latents of the last batch as the
        codebook (arXiv 2005.08520): an autoencoder learns faster without quantization.
      reconstruction_weight: weight of the squared error.
      adversarial_weight: 0 trains without a discriminator, which is then not created.
      adversarial_start: step from which the adversarial terms count.
      r1_cost: cost of the R1 penalty on real images.
      discriminator: its net.
      perceptual_weight: weight of the perceptual distance.
      perceptual: (params, images, images) -> distances (B,), or None.
      perceptual_params: frozen parameters of `perceptual`.
      start: parameters of a trained tokenizer, of which only the decoder trains on, so that its
        tokens stay; None trains all from the beginning.
    """
    adversarial = adversarial_weight > 0

    def trained(vqgan: Params) -> Params:
        """Returns the part of the tokenizer that trains."""
        return vqgan if start is None else {name: vqgan[name] for name in net.decoder_parts}

    def init(key: jax.Array) -> TrainState:
        vqgan_key, discriminator_key = jax.random.split(key)
        image = jnp.zeros((1, image_size, image_size, 3))
        params = {"vqgan": net.init(vqgan_key, image)["params"] if start is None else start}
        if adversarial:
            params["discriminator"] = discriminator.init(discriminator_key, image)["params"]
        parts = {**params, "vqgan": trained(params["vqgan"])}
        opt_state = {name: optimizer.init(part) for name, part in parts.items()}
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    def discriminate(params: Params, images: jax.Array) -> jax.Array:
        return cast(jax.Array, discriminator.apply({"params": params["discriminator"]}, images))

    def generator_objective(part, params, frozen, images, on):
        vqgan_params = {**params["vqgan"], **part}
        outputs: Any = net.apply({"params": vqgan_params}, images, quantization=on["quantizer"])
        reconstruction, latents, tokens = outputs
        terms: dict[str, jax.Array] = {}
        if start is None:
            terms = quantizer_terms(net, vqgan_params, latents, tokens, on["quantizer"])
        error = jnp.mean((images - reconstruction) ** 2)
        terms["reconstruction"] = reconstruction_weight * error
        if perceptual is not None:
            distance = perceptual(frozen, images, reconstruction)
            terms["perceptual"] = perceptual_weight * jnp.mean(distance)
        if adversarial:
            loss = losses.generator_loss(discriminate(params, reconstruction))
            terms["adversarial"] = on["adversarial"] * adversarial_weight * loss
        return sum(terms.values()), (terms, reconstruction, latents, tokens)

    def discriminator_objective(discriminator_params, images, reconstruction):
        def logits(x):
            return discriminator.apply({"params": discriminator_params}, x)

        loss = losses.discriminator_loss(logits(images), logits(reconstruction))
        return loss + losses.r1_penalty(logits, images, r1_cost)

    def update(state: TrainState, name: str, gradients: Params) -> TrainState:
        before = state.params[name]
        part = trained(before) if name == "vqgan" else before
        updates, opt_state = optimizer.update(gradients, state.opt_state[name], part)
        if name == "vqgan" and start is None:
            quantizer = {"codebook": codebook_factor * updates["quantizer"]["codebook"]}
            updates = {**updates, "quantizer": quantizer}
        return state.replace(
            params={**state.params, name: {**before, **optax.apply_updates(part, updates)}},
            opt_state={**state.opt_state, name: opt_state},
        )

    def update_if(on: jax.Array, state: TrainState, name: str, gradients: Params) -> TrainState:
        """Updates the state only if `on` is 1; zero gradients would shrink Adam's moments."""
        return jax.tree.map(
            lambda new, old: jnp.where(on > 0, new, old), update(state, name, gradients), state
        )

    def train_step(state: TrainState, frozen: Params, batch: Batch, key: jax.Array):
        images = batch["image"]
        # Multiplied, not `lax.cond`: on a CPU, convolutions in its branches are 30 times slower.
        starts = {"quantizer": quantizer_start, "adversarial": adversarial_start}
        on = {name: jnp.float32(state.step >= start) for name, start in starts.items()}
        objective = jax.value_and_grad(generator_objective, has_aux=True)
        (loss, (terms, reconstruction, latents, tokens)), gradients = objective(
            trained(state.params["vqgan"]), state.params, frozen, images, on
        )
        metrics = {
            "loss": loss,
            "perplexity": losses.perplexity(tokens, net.codebook_size),
            "gradient_norm": optax.global_norm(gradients),
        }
        metrics |= terms
        new_state = update(state, "vqgan", gradients)
        if quantizer_start:
            new_state = start_codebook(new_state, key, latents, quantizer_start)
        if adversarial:
            d_loss, d_gradients = jax.value_and_grad(discriminator_objective)(
                state.params["discriminator"], images, jax.lax.stop_gradient(reconstruction)
            )
            new_state = update_if(on["adversarial"], new_state, "discriminator", d_gradients)
            metrics["discriminator_loss"] = d_loss
        return new_state.replace(step=state.step + 1), metrics

    def eval_step(params: Params, frozen: Params, batch: Batch, key: jax.Array) -> Metrics:
        del frozen, key
        outputs: Any = net.apply({"params": params["vqgan"]}, batch["image"])
        reconstruction = outputs[0]
        return {"reconstruction": jnp.mean((batch["image"] - reconstruction) ** 2, (1, 2, 3))}

    frozen = perceptual_params if perceptual is not None else {}
    return Task(init, train_step, eval_step, pictures_of(net), frozen)


def pictures_of(net: Tokenizer) -> Callable[..., Mapping[str, jax.Array]]:
    """Returns `Task.pictures` of a tokenizer: images, each followed by its reconstruction."""

    def pictures(params: Params, frozen: Params, batch: Batch, key: jax.Array):
        del frozen, key
        images = batch["image"][:NUM_PICTURES]
        reconstruction = net.apply({"params": params["vqgan"]}, images)[0]
        pairs = jnp.stack([images, jnp.clip(reconstruction, 0.0, 1.0)], axis=1)
        return {"original_and_reconstruction": pairs.reshape(-1, *images.shape[1:])}

    return pictures
