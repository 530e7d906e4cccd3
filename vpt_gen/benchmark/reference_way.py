"""Our version of the reference implementation of tuning and decoding, to compare speed with.

As google-research/generative_transfer (`trainer/prompt_trainer.py`, `nets/simplified_bert*.py`,
`libml/parallel_decode.py`) and MaskGIT's tokenizer do it, in float32 throughout: Flax's modules,
one layer after another, with an attention mask of ones; images tokenized in every step; logits over
the whole tied vocabulary at every position, prompts included; a smoothed one-hot target; a buffer
for the tokens of all iterations; frozen weights closed over by the step; nothing donated. The masks
are drawn like ours, so that the results of both can be compared number by number.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from vpt_gen.decode.parallel import choose_masked
from vpt_gen.decode.schedules import mask_rate
from vpt_gen.nets.maskgit import LAYER_NORM_EPSILON, MaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.nets.vqgan import (
    VQGAN,
    Quantizer,
    Tokenizer,
)
from vpt_gen.training.losses import draw_masks
from vpt_gen.training.state import TrainState, apply_gradients

Step = Callable[[TrainState, Any, jax.Array], tuple[TrainState, jax.Array]]


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name=name)


class _Attention(nn.Module):
    num_heads: int

    @nn.compact
    def __call__(self, x, mask):
        mask = nn.make_attention_mask(mask, mask)
        attended = nn.MultiHeadDotProductAttention(self.num_heads, name="self_attention")(
            x, mask=mask, deterministic=True
        )
        return _norm("attention_output_ln")(attended + x)


class _Mlp(nn.Module):
    intermediate_size: int

    @nn.compact
    def __call__(self, x):
        hidden = nn.gelu(nn.Dense(self.intermediate_size, name="intermediate_output")(x))
        output = nn.Dense(x.shape[-1], name="layer_output")(hidden)
        return _norm("layer_output_ln")(output + x)


class _Layer(nn.Module):
    num_heads: int
    intermediate_size: int

    @nn.compact
    def __call__(self, x, mask):
        x = _Attention(self.num_heads, name="Attention_0")(x, mask)
        return _Mlp(self.intermediate_size, name="Mlp_0")(x)


class _Embed(nn.Module):
    vocab_size: int
    num_positions: int
    hidden_size: int

    @nn.compact
    def __call__(self, ids):
        ids = jnp.where(ids == MASK_TOKEN_ID, self.vocab_size - 1, ids)
        words = nn.Embed(self.vocab_size, self.hidden_size, name="word_embeddings")(ids)
        positions = nn.Embed(self.num_positions, self.hidden_size, name="position_embeddings")(
            jnp.arange(ids.shape[1])[None]
        )
        return _norm("embeddings_ln")(words + positions)


class _Bias(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + self.param("bias", nn.initializers.zeros, x.shape[-1:])


class _Head(nn.Module):
    @nn.compact
    def __call__(self, x, table):
        x = _norm("mlm_ln")(nn.gelu(nn.Dense(x.shape[-1], name="mlm_dense")(x)))
        return _Bias(name="mlm_bias")(x @ table.T)


class Transformer(nn.Module):
    """The transformer of a MaskGIT, under the same parameters."""

    net: MaskGIT

    @nn.compact
    def __call__(self, ids: jax.Array, prompts: jax.Array) -> jax.Array:
        """Returns logits (B, S + N, V) of ids (B, N + 1), the first replaced by prompts."""
        net = self.net
        x = _Embed(net.vocab_size, net.num_tokens + 1, net.hidden_size, name="Embed_0")(ids)
        x = jnp.concatenate([prompts, x[:, 1:]], axis=1)
        mask = jnp.ones(x.shape[:2], jnp.int32)
        for i in range(net.num_layers):
            layer = _Layer(net.num_heads, net.intermediate_size, name=f"TransformerLayer_{i}")
            x = layer(x, mask)
        table = self.variables["params"]["Embed_0"]["word_embeddings"]["embedding"]
        return _Head(name="MlmLayer_0")(x, table)


class ResBlock(nn.Module):
    """As in `nets/vqgan.py`, with Flax's GroupNorm."""

    filters: int

    @nn.compact
    def __call__(self, x):
        residual = x
        for _ in range(2):
            x = nn.swish(nn.GroupNorm(32)(x))
            x = nn.Conv(self.filters, (3, 3), use_bias=False)(x)
        if residual.shape[-1] != self.filters:
            residual = nn.Conv(self.filters, (1, 1), use_bias=False)(x)
        return x + residual


class _Encoder(nn.Module):
    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int
    embedding_dim: int

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(self.filters, (3, 3), use_bias=False)(x)
        for level, multiplier in enumerate(self.channel_multipliers):
            for _ in range(self.num_res_blocks):
                x = ResBlock(self.filters * multiplier)(x)
            if level < len(self.channel_multipliers) - 1:
                x = nn.avg_pool(x, (2, 2), (2, 2), padding="SAME", count_include_pad=False)
        for _ in range(self.num_res_blocks):
            x = ResBlock(x.shape[-1])(x)
        return nn.Conv(self.embedding_dim, (1, 1))(nn.swish(nn.GroupNorm(32)(x)))


class _Decoder(nn.Module):
    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(self.filters * self.channel_multipliers[-1], (3, 3))(x)
        for _ in range(self.num_res_blocks):
            x = ResBlock(x.shape[-1])(x)
        for level, multiplier in reversed(list(enumerate(self.channel_multipliers))):
            for _ in range(self.num_res_blocks):
                x = ResBlock(self.filters * multiplier)(x)
            if level > 0:
                b, h, w, c = x.shape
                x = jax.image.resize(x, (b, 2 * h, 2 * w, c), "nearest")
                x = nn.Conv(self.filters * multiplier, (3, 3))(x)
        return nn.Conv(3, (3, 3))(nn.swish(nn.GroupNorm(32)(x)))


class PlainVQGAN(Tokenizer):
    """MaskGIT's tokenizer, under the same parameters as `nets.vqgan.VQGAN`."""

    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int
    embedding_dim: int
    codebook_size: int

    def setup(self):
        shape = (self.filters, self.channel_multipliers, self.num_res_blocks)
        self.encoder = _Encoder(*shape, self.embedding_dim)
        self.decoder = _Decoder(*shape)
        self.quantizer = Quantizer(self.codebook_size, self.embedding_dim)

    def encode(self, images):
        return self.encoder(images)

    def decode(self, quantized):
        return self.decoder(quantized)


def plain(net: VQGAN) -> PlainVQGAN:
    """Returns the plain version of a tokenizer."""
    return PlainVQGAN(
        net.filters,
        net.channel_multipliers,
        net.num_res_blocks,
        net.embedding_dim,
        net.codebook_size,
    )


def smoothed_loss(
    logits: jax.Array, labels: jax.Array, weights: jax.Array, label_smoothing: float
) -> jax.Array:
    """Cross-entropy with a smoothed one-hot target, averaged over weights, then over examples."""
    targets = jax.nn.one_hot(labels, logits.shape[-1])
    targets = targets * (1.0 - label_smoothing) + label_smoothing / logits.shape[-1]
    loss = -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)
    loss = jnp.sum(loss * weights, axis=-1) / jnp.clip(jnp.sum(weights, axis=-1), 1e-8)
    return jnp.mean(loss)


def make_train_step(
    generator: nn.Module,
    net: MaskGIT,
    tokenizer: VQGAN,
    frozen: Any,
    optimizer: optax.GradientTransformation,
    label_smoothing: float = 0.1,
    schedule: str = "cosine",
) -> Step:
    """Makes the tuning step (state, batch, key) -> (state, loss); `frozen` is a constant of it.

    Args:
      generator: the prompt generator to train.
      net: gives the size of the transformer.
      tokenizer: gives the size of the tokenizer.
      frozen: {"transformer": ..., "tokenizer": ...} parameters, on the host.
      optimizer: of the generator.
      label_smoothing: as released.
      schedule: of mask rates.
    """
    plain_tokenizer, transformer = plain(tokenizer), Transformer(net)

    def step(state, batch, key):
        mask_key, dropout_key = jax.random.split(key)
        tokens: Any = plain_tokenizer.apply(
            {"params": frozen["tokenizer"]}, batch["image"], method="tokenize"
        )
        tokens = tokens.reshape(len(tokens), -1)
        masked, weights = draw_masks(mask_key, tokens, schedule)
        class_ids = batch["label"][:, None] + net.codebook_size
        ids = jnp.concatenate([class_ids, masked], axis=1)
        labels = jnp.concatenate([class_ids, tokens], axis=1)
        weights = jnp.concatenate([jnp.zeros_like(weights[:, :1]), weights], axis=1)

        def loss_of(params):
            prompts = generator.apply(
                {"params": params},
                class_ids=batch["label"],
                deterministic=False,
                rngs={"dropout": dropout_key},
            )
            logits: Any = transformer.apply({"params": frozen["transformer"]}, ids, prompts)
            logits = logits[:, -(net.num_tokens + 1) :, : net.codebook_size]
            return smoothed_loss(logits, labels, weights, label_smoothing)

        loss, gradients = jax.value_and_grad(loss_of)(state.params)
        return apply_gradients(state, gradients, optimizer), loss

    return step


def make_decode(net: MaskGIT, params: Any, num_iterations: int, temperature: float) -> Callable:
    """Makes decoding: (key, prompts (B, S, D)) -> tokens (B, T, N) of all iterations."""
    transformer = Transformer(net)

    def decode(key, prompts):
        ids = jnp.full((len(prompts), net.num_tokens + 1), MASK_TOKEN_ID, jnp.int32)
        num_unknown = jnp.sum(ids == MASK_TOKEN_ID, axis=-1)

        def body(carry):
            iteration, ids, key, all_ids = carry
            logits: Any = transformer.apply({"params": params}, ids, prompts)
            logits = logits[:, -ids.shape[1] :, : net.codebook_size]
            key, sample_key = jax.random.split(key)
            unknown = ids == MASK_TOKEN_ID
            sampled = jnp.where(unknown, jax.random.categorical(sample_key, logits), ids)
            progress = (iteration + 1) / num_iterations
            rate = mask_rate(progress, num_unknown, "cosine")
            all_ids = jax.lax.dynamic_update_slice(all_ids, sampled[:, None], (0, iteration, 0))
            probabilities = jnp.take_along_axis(jax.nn.softmax(logits), sampled[..., None], axis=-1)
            probabilities = jnp.where(unknown, probabilities[..., 0], jnp.inf)
            left = jnp.sum(unknown, axis=-1, keepdims=True) - 1
            num_masked = jnp.minimum(left, jnp.floor(num_unknown * rate)[:, None])
            key, choice_key = jax.random.split(key)
            masked = choose_masked(
                choice_key,
                probabilities,
                jnp.maximum(1, num_masked),
                temperature * (1.0 - progress),
            )
            return iteration + 1, jnp.where(masked, MASK_TOKEN_ID, sampled), key, all_ids

        start = (0, ids, key, jnp.zeros((len(ids), num_iterations, ids.shape[1]), jnp.int32))
        end = jax.lax.while_loop(lambda carry: carry[0] < num_iterations, body, start)
        return end[3][..., 1:]

    return decode
