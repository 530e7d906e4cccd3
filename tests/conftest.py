"""JAX as the tests want it: eight simulated devices, exact products, compiled once and quickly."""

import ctypes
import gc
import os
import pathlib
import sys

# By the environment, which programs that tests start inherit.
_CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "jax"
_SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    # Exact float32 products: an accelerator's own default is coarser than the golden tolerances.
    "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    # Tiny programs, each run once or twice: compiling them well takes longer than running them.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    # The same programs in every run of the tests: kept on disk, however quickly they compile.
    "JAX_COMPILATION_CACHE_DIR": str(_CACHE),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
# Containers often forbid bytecode: each program and worker would compile our sources anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
import jax  # noqa: E402
import psutil  # noqa: E402
import pytest  # noqa: E402

# Read when the first program is compiled. Every test of a run is a test of its sharding, too.
_FLAGS = ["--xla_force_host_platform_device_count=8"]
if jax.__version_info__ < (0, 11):  # Which know the flag; an unknown one would end the process.
    _FLAGS += ["--xla_cpu_use_fusion_emitters=false"]  # They take more than half of compilation.
    # Small programs are compiled in one piece, a sixth faster than in 32.
    _FLAGS += ["--xla_cpu_parallel_codegen_split_count=1"]
# Never twice, though a worker inherits them: compiled programs are kept under these words.
_GIVEN = os.environ.get("XLA_FLAGS", "").split()
os.environ["XLA_FLAGS"] = " ".join([x for x in _GIVEN if x not in _FLAGS] + _FLAGS)


_LIBC = ctypes.CDLL(None)
if hasattr(_LIBC, "mallopt"):  # Of glibc: threads share one heap, of which all can be given back.
    _LIBC.mallopt(-8, 1)


# No test survives a power cut, and each call waits for the disk.
os.fsync = lambda _: None


@pytest.fixture(scope="module", autouse=True)
def programs_of_a_file():
    """Compiled programs leave memory with the tests that need them; the disk has them."""
    yield
    drop_programs(gained=0.1e9)


@pytest.fixture(autouse=True)
def programs_of_a_test():
    """Files that compile much give it back in between."""
    yield
    drop_programs(gained=0.35e9)


# Tracing leaves a million objects that live on; looking at all of them again took 4 % of the time.
gc.set_threshold(100_000, 20, 50)


# A minute or more each: begun last, one of them would keep a worker busy while the others wait.
_LONG = {
    f"test_{name}"
    for name in ("notebook", "jobs", "configs", "gan_methods", "main", "methods", "adversarial")
}


def pytest_collection_modifyitems(items):
    """The longest files come first; all others stay in order."""
    items.sort(key=lambda item: item.path.stem not in _LONG)


def pytest_collection_finish():
    """Modules and tests stay: collecting garbage need not look at them each time."""
    gc.collect()
    gc.freeze()


_memory_after_drop = psutil.Process().memory_info().rss


def drop_programs(gained):
    """Drops what JAX has compiled if the process has grown by more bytes since the last drop.

    Growth counts, not size: modules and nets stay, so that beyond a size every test would drop all.
    """
    global _memory_after_drop
    process = psutil.Process()
    if process.memory_info().rss - _memory_after_drop > gained:
        jax.clear_caches()
        gc.collect()
        if hasattr(_LIBC, "malloc_trim"):
            _LIBC.malloc_trim(0)
        _memory_after_drop = process.memory_info().rss


@pytest.fixture(autouse=True)
def golden_values():
    """A test that a folder of reference numbers has only some values for says so at its end."""
    from tests import golden_folder

    yield
    golden_folder.skip_lacking()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """What is known about data sets is kept for this run of the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VPT_GEN_CACHE", str(tmp_path_factory.mktemp("cache")))
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
