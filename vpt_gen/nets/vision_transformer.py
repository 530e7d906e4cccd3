"""Vision transformers that turn images into vectors: those of DINOv2 and CLIP.

Sources: arXiv 2010.11929; facebookresearch/dinov2 (arXiv 2304.07193) and openai/CLIP (arXiv
2103.00020), whose differences are the fields. The weights are read by `vpt_gen.checkpoints.dinov2`
and `vpt_gen.checkpoints.clip`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.attention import attention
from vpt_gen.nets.layers import Dense, FromHeads, ToHeads

_INIT = nn.initializers.normal(0.02)


class VisionTransformer(nn.Module):
    """Normalized images (B, H, W, 3) -> vectors (B, width), or (B, joint_width) if that is not 0.

    H and W are multiples of `patch`, as many as the parameters have positions.

    Attributes:
      patch: side of a patch, pixels.
      width: of the layers.
      num_layers: number of them.
      num_heads: attention heads.
      mlp_width: of the MLPs.
      epsilon: of the norms.
      quick_gelu: x sigmoid(1.702 x) as activation, as in CLIP; or the exact GELU.
      layer_scale: whether each branch is scaled per channel, as in DINOv2.
      patch_bias: of the patches' projection.
      norm_before: a norm before the layers, as in CLIP.
      joint_width: of the space that images and texts share, as in CLIP; 0 for none.
    """

    patch: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    epsilon: float
    quick_gelu: bool = False
    layer_scale: bool = False
    patch_bias: bool = True
    norm_before: bool = False
    joint_width: int = 0

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        b, d = len(images), self.width
        sides = (self.patch, self.patch)
        x = nn.Conv(d, sides, sides, "VALID", use_bias=self.patch_bias, name="patches")(images)
        x = x.reshape(b, -1, d)
        first = self.param("class_token", _INIT, (d,))
        x = jnp.concatenate([jnp.broadcast_to(first, (b, 1, d)), x], axis=1)
        x += self.param("positions", _INIT, x.shape[1:])
        if self.norm_before:
            x = nn.LayerNorm(self.epsilon, name="norm_before")(x)
        for number in range(self.num_layers):
            x = self._layer(x, f"layer_{number}")
        x = nn.LayerNorm(self.epsilon, name="norm")(x[:, 0])
        return Dense(self.joint_width, _INIT, False, name="joint")(x) if self.joint_width else x

    def _layer(self, x: jax.Array, name: str) -> jax.Array:
        layer = Layer(
            self.num_heads,
            self.mlp_width,
            self.epsilon,
            self.quick_gelu,
            self.layer_scale,
            name=name,
        )
        return layer(x)


class Layer(nn.Module):
    """x (B, L, D) -> (B, L, D): attention and MLP, each after a norm; see `VisionTransformer`."""

    num_heads: int
    mlp_width: int
    epsilon: float
    quick_gelu: bool
    layer_scale: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        y = nn.LayerNorm(self.epsilon, name="attention_norm")(x)
        heads = (ToHeads(self.num_heads, _INIT, name=n)(y) for n in ("query", "key", "value"))
        x += self._scaled("attention_scale", FromHeads(_INIT, name="projection")(attention(*heads)))
        y = nn.LayerNorm(self.epsilon, name="mlp_norm")(x)
        y = Dense(self.mlp_width, _INIT, name="mlp_in")(y)
        y = y * jax.nn.sigmoid(1.702 * y) if self.quick_gelu else nn.gelu(y, approximate=False)
        return x + self._scaled("mlp_scale", Dense(d, _INIT, name="mlp_out")(y))

    def _scaled(self, name: str, x: jax.Array) -> jax.Array:
        if not self.layer_scale:
            return x
        return x * self.param(name, nn.initializers.ones, x.shape[-1:])
