"""The rates of `benchmark.rates` by PyTorch (oneDNN) and by NumPy's BLAS, on the same arrays."""

import jax
import numpy as np
import torch
import torch.nn.functional as F


def _convolutions(inputs, filters):
    return [
        F.conv2d(x, kernel, padding=1)
        for x, kernels in zip(inputs, filters, strict=True)
        for kernel in kernels
    ]


def _bandwidth(x, weights):
    return [x @ weight for weight in weights]


FUNCTIONS = {"matmul": lambda x, y: x @ y, "convolution": _convolutions, "bandwidth": _bandwidth}
# NumPy has no convolutions, and no bfloat16.
OF_NUMPY = ("matmul", "bandwidth")


def libraries(what, dtype):
    """Returns the ways, besides XLA's, to measure a rate."""
    return ["torch", "numpy"] if what in OF_NUMPY and dtype == "float32" else ["torch"]


def inputs(what, library, arguments):
    """Returns the inputs of `FUNCTIONS[what]` from those of our program."""
    if library == "numpy":
        return jax.tree.map(np.asarray, arguments)
    tensors = jax.tree.map(_tensor, arguments)
    if what != "convolution":
        return tensors
    images, filters = tensors
    last = {"memory_format": torch.channels_last}
    return (
        [x.permute(0, 3, 1, 2).contiguous(**last) for x in images],
        [[x.permute(3, 2, 0, 1).contiguous(**last) for x in pair] for pair in filters],
    )


def _tensor(array):
    tensor = torch.from_numpy(np.array(array, np.float32))
    return tensor.to(torch.bfloat16) if array.dtype == "bfloat16" else tensor
