"""Our parameters in PyTorch: its modules here have the names of ours, so that one rule copies all.

A kernel (in, out) becomes a weight (out, in); one of a convolution, (H, W, in, out), becomes
(out, in, H, W); heads, which ours have on an axis of their own, are joined.
"""

import jax
import numpy as np
import torch

# Kernels (heads, E, D) instead of (D, heads, E).
_FROM_HEADS = ("out", "projection")
_LEAVES = {"kernel": "weight", "embedding": "weight", "scale": "weight"}


def load(module, params, dtype=torch.float32):
    """Copies a tree of parameters into a module, matrices in a type; each must have its place."""
    state = {}
    for path, value in jax.tree_util.tree_leaves_with_path(params):
        *owners, leaf = (part.key for part in path)
        value = np.asarray(value, np.float32)
        if leaf == "kernel":
            value = _weight(value, owners[-1])
        elif leaf == "bias":
            value = value.reshape(-1)
        tensor = torch.from_numpy(np.array(value, order="C"))
        if leaf in ("kernel", "embedding"):
            tensor = tensor.to(dtype)
        state[".".join((*owners, _LEAVES.get(leaf, leaf)))] = tensor
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _weight(kernel, owner):
    if kernel.ndim == 4:
        return kernel.transpose(3, 2, 0, 1)
    if kernel.ndim == 3:
        inputs = -1 if owner in _FROM_HEADS else kernel.shape[0]
        kernel = kernel.reshape(inputs, kernel.shape[2] if owner in _FROM_HEADS else -1)
    return kernel.T
