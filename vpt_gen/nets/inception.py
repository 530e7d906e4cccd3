"""The InceptionV3 of the FID: TensorFlow's network of 2015 for ImageNet, 1008 outputs.

Source: the network of the Inception Score and the FID (arXiv 1606.03498, 1706.08500); layers, names
and the order of branches as in PyPI `torch-fidelity` 0.4.0. It differs from the InceptionV3 of
arXiv 1512.00567 as libraries ship it: average pools do not count the padding, and the last block
uses max pooling. Each batch norm is folded into its convolution by
`vpt_gen.checkpoints.inception`, which reads the weights.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

SIDE = 299
# Name of a feature -> its width. The numbered ones are mean activations: after the first and the
# second max pooling, before the third reduction, and at the end.
FEATURES = {"64": 64, "192": 192, "768": 768, "2048": 2048, "logits_unbiased": 1008, "logits": 1008}
# The lower default precision of accelerators would change the third digit of a distance.
_PRECISION = jax.lax.Precision.HIGHEST


class InceptionV3(nn.Module):
    """Images (B, 299, 299, 3), 0 to 255 -> {name: (B, width)} of every entry of `FEATURES`.

    Images of another size are resized to 299x299 by `nets.resize.tf1_bilinear`.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        x = (images - 128.0) / 128.0
        x = _conv(x, "Conv2d_1a_3x3", 32, 3, stride=2)
        x = _conv(x, "Conv2d_2a_3x3", 32, 3, padding="VALID")
        x = _conv(x, "Conv2d_2b_3x3", 64, 3)
        x = _reduce(x)
        features = {"64": _mean(x)}
        x = _conv(x, "Conv2d_3b_1x1", 80, 1)
        x = _conv(x, "Conv2d_4a_3x3", 192, 3, padding="VALID")
        x = _reduce(x)
        features["192"] = _mean(x)
        for name, pool_channels in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pool_channels, name=name)(x)
        x = ReductionB(name="Mixed_6a")(x)
        for name, channels in (
            ("Mixed_6b", 128),
            ("Mixed_6c", 160),
            ("Mixed_6d", 160),
            ("Mixed_6e", 192),
        ):
            x = BlockC(channels, name=name)(x)
        features["768"] = _mean(x)
        x = ReductionD(name="Mixed_7a")(x)
        x = BlockE(name="Mixed_7b")(x)
        x = BlockE(max_pool=True, name="Mixed_7c")(x)
        features["2048"] = _mean(x)
        unbiased, logits = Classifier(FEATURES["logits"], name="fc")(features["2048"])
        return {**features, "logits_unbiased": unbiased, "logits": logits}


class BlockA(nn.Module):
    """35x35, kernels 1, 3 and 5: (B, h, w, C) -> (B, h, w, 224 + pool_channels)."""

    pool_channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        five = _conv(_conv(x, "branch5x5_1", 48, 1), "branch5x5_2", 64, 5)
        double = _conv(_conv(x, "branch3x3dbl_1", 64, 1), "branch3x3dbl_2", 96, 3)
        double = _conv(double, "branch3x3dbl_3", 96, 3)
        pool = _conv(_average(x), "branch_pool", self.pool_channels, 1)
        return _join(_conv(x, "branch1x1", 64, 1), five, double, pool)


class ReductionB(nn.Module):
    """35x35 to 17x17: (B, h, w, C) -> (B, h/2, w/2, 480 + C)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        double = _conv(_conv(x, "branch3x3dbl_1", 64, 1), "branch3x3dbl_2", 96, 3)
        double = _conv(double, "branch3x3dbl_3", 96, 3, stride=2)
        return _join(_conv(x, "branch3x3", 384, 3, stride=2), double, _reduce(x))


class BlockC(nn.Module):
    """17x17, kernels of 7 as a row and a column: (B, h, w, 768) -> (B, h, w, 768)."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        seven = _conv(x, "branch7x7_1", self.channels, 1)
        seven = _conv(seven, "branch7x7_2", self.channels, (1, 7))
        seven = _conv(seven, "branch7x7_3", 192, (7, 1))
        double = _conv(x, "branch7x7dbl_1", self.channels, 1)
        double = _conv(double, "branch7x7dbl_2", self.channels, (7, 1))
        double = _conv(double, "branch7x7dbl_3", self.channels, (1, 7))
        double = _conv(double, "branch7x7dbl_4", self.channels, (7, 1))
        double = _conv(double, "branch7x7dbl_5", 192, (1, 7))
        pool = _conv(_average(x), "branch_pool", 192, 1)
        return _join(_conv(x, "branch1x1", 192, 1), seven, double, pool)


class ReductionD(nn.Module):
    """17x17 to 8x8: (B, h, w, 768) -> (B, h/2, w/2, 1280)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        three = _conv(_conv(x, "branch3x3_1", 192, 1), "branch3x3_2", 320, 3, stride=2)
        seven = _conv(_conv(x, "branch7x7x3_1", 192, 1), "branch7x7x3_2", 192, (1, 7))
        seven = _conv(seven, "branch7x7x3_3", 192, (7, 1))
        seven = _conv(seven, "branch7x7x3_4", 192, 3, stride=2)
        return _join(three, seven, _reduce(x))


class BlockE(nn.Module):
    """8x8, rows and columns of 3 side by side: (B, h, w, C) -> (B, h, w, 2048)."""

    max_pool: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        three = _conv(x, "branch3x3_1", 384, 1)
        double = _conv(_conv(x, "branch3x3dbl_1", 448, 1), "branch3x3dbl_2", 384, 3)
        pooled = nn.max_pool(x, (3, 3), padding="SAME") if self.max_pool else _average(x)
        return _join(
            _conv(x, "branch1x1", 320, 1),
            _conv(three, "branch3x3_2a", 384, (1, 3)),
            _conv(three, "branch3x3_2b", 384, (3, 1)),
            _conv(double, "branch3x3dbl_3a", 384, (1, 3)),
            _conv(double, "branch3x3dbl_3b", 384, (3, 1)),
            _conv(pooled, "branch_pool", 192, 1),
        )


class Classifier(nn.Module):
    """(B, 2048) -> logits (B, classes) without bias, as the Inception Score uses, and with bias.

    All 1008 outputs of 2015 count, though only 1000 of them are classes.
    """

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        shape = (x.shape[-1], self.classes)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.classes,))
        unbiased = jnp.matmul(x, kernel, precision=_PRECISION)
        return unbiased, unbiased + bias


def _conv(
    x: jax.Array,
    name: str,
    channels: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    padding: str = "",
) -> jax.Array:
    """Convolution and ReLU; no padding if it strides. Call it inside a compact method only."""
    padding = padding or ("SAME" if stride == 1 else "VALID")
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    conv = nn.Conv(channels, kernel, stride, padding=padding, precision=_PRECISION, name=name)
    return nn.relu(conv(x))


def _reduce(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), strides=(2, 2))


def _average(x: jax.Array) -> jax.Array:
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _mean(x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=(1, 2))


def _join(*branches: jax.Array) -> jax.Array:
    return jnp.concatenate(branches, axis=-1)
