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
import pytest  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """What is known about data sets is kept for this run of the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VPT_GEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def one_device():
    """Runs on a single device, for what does not hang on how devices share work."""
    from vpt_gen.machine import sharding

    mesh = sharding.make_mesh(jax.devices()[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "make_mesh", lambda **unused: mesh)
        yield


@pytest.fixture(scope="session")
def vtab_data(tmp_path_factory):
    """A TFDS folder with a small prepared copy of each of VTAB's data sets."""
    from tests import made_vtab  # Only these tests need TensorFlow Datasets.

    return made_vtab.write(tmp_path_factory.mktemp("vtab"))


@pytest.fixture(scope="session")
def tiny_nets(tmp_path_factory):
    """A folder with the smallest nets for 32 pixels: vqgan, nar (a MaskGIT) and ar (a GPT)."""
    from tests import made

    return made.save_nets(tmp_path_factory.mktemp("nets"))
