"""The types in which a net is stored and computed.

Layers compute in the type of their matrices. Matrices in bfloat16 halve the memory and, if the
hardware multiplies them faster, more than halve the time. Sums of many numbers (norms, softmax,
logits, the residual stream) are float32 throughout, and so are norms' and bias parameters.
"""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp

# Names of the parameters that are factors of products or lookup tables.
_MATRICES = ("kernel", "embedding")


def exact_products() -> contextlib.AbstractContextManager[None]:
    """Keeps full float32 precision in products and convolutions inside a `with`.

    Accelerators round them to bfloat16 or TF32 otherwise; CPUs never do.
    """
    return jax.default_matmul_precision("highest")


def cast_matrices(params: Any, dtype: Any) -> Any:
    """Casts the matrices of parameters to another type; arrays on the host stay there."""
    dtype = jnp.dtype(dtype)

    def cast(path, x):
        return x.astype(dtype) if path[-1].key in _MATRICES and x.dtype != dtype else x

    return jax.tree_util.tree_map_with_path(cast, params)
