"""JAX as the tests want it: eight simulated devices, exact products, quick compilation."""

import os

# Every test of a run is then a test of its sharding too.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402

# Exact float32 products: an accelerator's own default is coarser than the golden tolerances.
jax.config.update("jax_default_matmul_precision", "highest")
# Tiny programs, each run once or twice: compiling them well takes longer than running them.
jax.config.update("jax_disable_most_optimizations", True)
