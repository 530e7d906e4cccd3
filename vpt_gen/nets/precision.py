"""The types in which a net is held and computed.

Layers compute in the type of their matrices. Matrices in bfloat16 halve the memory and, where the
hardware multiplies them faster, more than halve the time; what sums up many numbers (norms,
softmax, logits, the residual stream) is float32 throughout, and so are norms' and bias parameters.
"""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp

# Names of the parameters that are factors of products or rows that are looked up.
_MATRICES = ("kernel", "embedding")


def exact_products() -> contextlib.AbstractContextManager[None]:
    """Keeps float32 factors of products and convolutions whole inside a `with`.

    Accelerators round them to bfloat16 or TF32 otherwise; CPUs never do.
    """
    return jax.default_matmul_precision("highest")


def cast_matrices(params: Any, dtype: Any) -> Any:
    """Parameters with their matrices in another type; arrays of the host stay there."""
    dtype = jnp.dtype(dtype)

    def cast(path, x):
        return x.astype(dtype) if path[-1].key in _MATRICES and x.dtype != dtype else x

    return jax.tree_util.tree_map_with_path(cast, params)
