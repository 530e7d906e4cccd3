"""Best rates of this device: of products, of convolutions, and of reading memory.

They are measured by programs that do nothing else. A program's share of its limit is its work
divided by these rates and by its time.
"""

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.benchmark.programs import Program
from vpt_gen.benchmark.request import Request
from vpt_gen.benchmark.sizes import Size

MATMUL_SIDE = 2048
_READ_BYTES = 512 * 2**20


def build(size: Size, request: Request) -> Program:
    """Makes the program of one of `RATES`."""
    return RATES[request.what](size, request)


def _noise(shape, dtype) -> jax.Array:
    fan_in = np.prod(shape[:-1])
    values = np.random.default_rng(0).standard_normal(shape, np.float32) / np.sqrt(fan_in)
    return jnp.asarray(values, dtype)


def _matmul(size: Size, request: Request) -> Program:
    """One large product: products of a model's shapes use the device less and are slower."""
    del size
    left, right = (_noise((MATMUL_SIDE, MATMUL_SIDE), request.dtype) for _ in range(2))

    def run(left, right):
        return left @ right

    return Program(run, (left, right), 1, "runs", flops=2 * MATMUL_SIDE**3)


def _convolution(size: Size, request: Request) -> Program:
    """Two 3x3 convolutions at each resolution of the tokenizer."""
    net, side = size.tokenizer, size.image_size
    inputs, filters, work = [], [], 0
    for level, multiplier in enumerate(net.channel_multipliers):
        channels, width = net.filters * multiplier, side >> level
        inputs.append(_noise((request.batch, width, width, channels), jnp.float32))
        filters.append([_noise((3, 3, channels, channels), jnp.float32) for _ in range(2)])
        work += 2 * 2 * request.batch * width**2 * 9 * channels**2

    def run(inputs, filters):
        outputs = []
        for x, pair in zip(inputs, filters, strict=True):
            for kernel in pair:
                x = jax.lax.conv_general_dilated(
                    x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
            outputs.append(x)
        return outputs

    return Program(run, (inputs, filters), 1, "runs", flops=work)


def _bandwidth(size: Size, request: Request) -> Program:
    """One vector times many matrices: each number is read once and used once."""
    d = size.transformer.hidden_size
    count = _READ_BYTES // (4 * d * 4 * d)
    weights = [jnp.full((d, 4 * d), 0.01, jnp.float32) + i for i in range(count)]

    def run(x, weights):
        return [x @ weight for weight in weights]

    read = sum(weight.nbytes for weight in weights)
    return Program(run, (_noise((1, d), jnp.float32), weights), 1, "runs", bytes=read)


RATES = {"matmul": _matmul, "convolution": _convolution, "bandwidth": _bandwidth}
