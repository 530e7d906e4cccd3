"""JAX as the tests want it."""

import jax

# Exact float32 products: an accelerator's own default is coarser than the golden tolerances.
jax.config.update("jax_default_matmul_precision", "highest")
# Tiny programs, each run once or twice: compiling them well takes longer than running them.
jax.config.update("jax_disable_most_optimizations", True)
