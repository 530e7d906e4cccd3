"""Losses: masked cross-entropy, and the terms that train a VQGAN.

Sources: google-research/maskgit `maskgit/libml/losses.py`, `maskgit/nets/vqgan_tokenizer.py` and
google-research/generative_transfer (the clip of an all-zero weight sum).
"""

import jax
import jax.numpy as jnp

from vpt_gen.decode.schedules import mask_rate
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.nets.vqgan import squared_distances


def mask_tokens(
    tokens: jax.Array, scores: jax.Array, rate: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Masks the ceil(N * rate) positions of lowest score in each example, at least one.

    Args:
      tokens: (B, N) visual tokens.
      scores: (B, N) in [0, 1), drawn uniformly.
      rate: mask rate in [0, 1], scalar or (B,).

    Returns:
      tokens (B, N) with `MASK_TOKEN_ID` where masked, and weights (B, N) that are 1.0 there.
    """
    n = tokens.shape[-1]
    rate = jnp.broadcast_to(jnp.clip(rate, 1e-6, 1.0), tokens.shape[:1])
    last_masked = jnp.ceil(n * rate).astype(jnp.int32)[:, None] - 1
    threshold = jnp.take_along_axis(jnp.sort(scores, axis=-1), last_masked, axis=-1)
    masked = scores <= threshold
    return jnp.where(masked, MASK_TOKEN_ID, tokens), masked.astype(jnp.float32)


def draw_masks(key: jax.Array, tokens: jax.Array, schedule: str) -> tuple[jax.Array, jax.Array]:
    """Masks every example at its own rate and positions: rate = schedule(u), u ~ U(0, 1).

    Returns:
      Masked tokens (B, N) and weights (B, N), see `mask_tokens`.
    """
    rate_key, score_key = jax.random.split(key)
    progress = jax.random.uniform(rate_key, tokens.shape[:1])
    rate = mask_rate(progress, tokens.shape[-1], schedule)
    return mask_tokens(tokens, jax.random.uniform(score_key, tokens.shape), rate)


def masked_cross_entropy(
    logits: jax.Array, targets: jax.Array, weights: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Returns the cross-entropy (B,) of each example, averaged over its weighted positions.

    The mean over the batch is the reference's loss.

    Args:
      logits: (B, L, K).
      targets: (B, L) in [0, K); ignored where the weight is 0.
      weights: (B, L); an example without weight contributes 0.
      label_smoothing: eps; the target distribution is onehot * (1 - eps) + eps / K.
    """
    targets = jnp.clip(targets, 0, logits.shape[-1] - 1)[..., None]
    on_target = jnp.take_along_axis(logits, targets, axis=-1)[..., 0]
    smoothed = (1.0 - label_smoothing) * on_target + label_smoothing * logits.mean(axis=-1)
    # The target distribution sums to 1, so that the normalizer need not be subtracted from every
    # logit.
    losses = jax.nn.logsumexp(logits, axis=-1) - smoothed
    total = jnp.maximum(weights.sum(axis=-1), 1e-8)
    return (losses * weights).sum(axis=-1) / total


def entropy_loss(distances: jax.Array, loss_type: str = "softmax", temperature: float = 0.01):
    """Sample entropy minus entropy of the mean assignment: favors an evenly used codebook.

    Args:
      distances: (..., K) of latents to codes; nearer is likelier.
      loss_type: 'softmax' or 'argmax', the assignment of one latent.
      temperature: of the softmax over negative distances.

    Raises:
      ValueError: an unknown `loss_type`.
    """
    affinity = -distances.reshape(-1, distances.shape[-1]) / temperature
    probabilities = jax.nn.softmax(affinity)
    log_probabilities = jax.nn.log_softmax(affinity + 1e-5)
    if loss_type == "softmax":
        target = probabilities
    elif loss_type == "argmax":
        one_hot = jax.nn.one_hot(jnp.argmax(affinity, axis=-1), affinity.shape[-1])
        # Straight through: the value of the one-hot, the gradient of the softmax.
        target = probabilities - jax.lax.stop_gradient(probabilities - one_hot)
    else:
        raise ValueError(
            f"Entropy loss type {loss_type!r} is not known; use 'softmax' or 'argmax'."
        )
    mean = target.mean(axis=0)
    mean_entropy = -jnp.sum(mean * jnp.log(mean + 1e-5))
    sample_entropy = -jnp.mean(jnp.sum(target * log_probabilities, axis=-1))
    return sample_entropy - mean_entropy


def quantizer_losses(
    latents: jax.Array,
    codebook: jax.Array,
    tokens: jax.Array,
    *,
    commitment_cost: float = 0.25,
    entropy_ratio: float = 0.1,
    entropy_type: str = "softmax",
    entropy_temperature: float = 0.01,
) -> dict[str, jax.Array]:
    """Returns the quantizer's loss terms, each multiplied by its cost; their sum is the loss.

    Args:
      latents: (..., d) before quantization.
      codebook: (K, d).
      tokens: (...) nearest codes of the latents.
      commitment_cost: of the term that pulls the latents to their codes.
      entropy_ratio: cost of the entropy term; 0 for none.
      entropy_type: see `entropy_loss`.
      entropy_temperature: see `entropy_loss`.
    """
    quantized = jnp.take(codebook, tokens, axis=0)
    stop = jax.lax.stop_gradient
    terms = {
        "commitment": commitment_cost * jnp.mean((stop(quantized) - latents) ** 2),
        "codebook": jnp.mean((quantized - stop(latents)) ** 2),
    }
    if entropy_ratio:
        distances = squared_distances(latents, codebook)
        terms["entropy"] = entropy_ratio * entropy_loss(
            distances, entropy_type, entropy_temperature
        )
    return terms


def generator_loss(fake_logit: jax.Array, loss_type: str = "non-saturating") -> jax.Array:
    """Adversarial loss of the decoder, without its weight, from logits (B, 1)."""
    if loss_type == "hinge":
        return -jnp.mean(fake_logit)
    return jnp.mean(jax.nn.softplus(-fake_logit))


def discriminator_loss(
    real_logit: jax.Array, fake_logit: jax.Array, loss_type: str = "non-saturating"
) -> jax.Array:
    """Returns the mean of the real plus the fake term (not halved), from logits (B, 1)."""
    real, fake = discriminator_losses(real_logit, fake_logit, loss_type)
    return real + fake


def discriminator_losses(
    real_logit: jax.Array, fake_logit: jax.Array, loss_type: str = "non-saturating"
) -> tuple[jax.Array, jax.Array]:
    """Returns the means of the real and of the fake term; the batches may differ in size."""
    if loss_type == "hinge":
        return jnp.mean(jax.nn.relu(1.0 - real_logit)), jnp.mean(jax.nn.relu(1.0 + fake_logit))
    return jnp.mean(jax.nn.softplus(-real_logit)), jnp.mean(jax.nn.softplus(fake_logit))


def r1_penalty(discriminator, images: jax.Array, cost: float = 10.0) -> jax.Array:
    """R1: mean squared norm of the logits' gradient at real images, times `cost` (no 1/2).

    Args:
      discriminator: images (B, H, W, 3) -> logits (B, 1).
      images: real images.
      cost: factor of the penalty.
    """
    gradient = jax.grad(lambda x: jnp.sum(discriminator(x)))(images)
    return cost * jnp.mean(jnp.sum(gradient**2, axis=(1, 2, 3)))


def perplexity(tokens: jax.Array, codebook_size: int) -> jax.Array:
    """Exponential of the entropy of code use in tokens (...): from 1 (one code) to K (even).

    The constant is MaskGIT's; it lowers even use of K = 16,384 codes by 14 %, and of 1,024 by 1 %.
    """
    counts = jnp.zeros(codebook_size).at[tokens.reshape(-1)].add(1.0)
    share = counts / tokens.size
    return jnp.exp(-jnp.sum(share * jnp.log(share + 1e-5)))
