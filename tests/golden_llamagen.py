"""Reference numbers of LlamaGen's tokenizer and transformer.

As in `tests/golden.py`, sizes and tolerances come from the folder: from its config files.
`VPT_GEN_GOLDEN_LLAMAGEN` names another folder of the same kind.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden_folder import Folder
from vpt_gen import nets
from vpt_gen.checkpoints import released

_FOLDER = Folder("llamagen")
FOLDER, ABSENT, needed = _FOLDER.path, _FOLDER.absent, _FOLDER.needed
manifest, file, json = _FOLDER.json, _FOLDER.file, _FOLDER.json
check = _FOLDER.check

TOKENIZER, TRANSFORMER = "vq_ds16_c2i", "c2i_B_256"
# Files of transformers, and the one with their sizes.
CONFIGS = {TRANSFORMER: TRANSFORMER, "gqa": "gqa"} | dict.fromkeys(
    ("c2i_XXL_384", "train_layout"), "c2i_XXL_384"
)


def load(file: str, name: str) -> np.ndarray:
    return _FOLDER.arrays(file)[name]


def has(file: str, name: str) -> bool:
    return _FOLDER.has(file, name)


def names(file: str, start: str) -> list[str]:
    """Names of a file's arrays that begin so."""
    return [name for name in manifest()["arrays"][file] if name.startswith(start)]


def config(name: str) -> dict:
    """Sizes of a net: of a tokenizer, or of a transformer of `CONFIGS`."""
    return json(f"{CONFIGS.get(name, name)}.config.json")


def nchw(maps) -> np.ndarray:
    """Feature maps of ours (B, H, W, C) as the reference's."""
    return np.moveaxis(np.asarray(maps), -1, 1)


def to_unit(images: np.ndarray) -> np.ndarray:
    """The reference's images (B, 3, H, W) in [-1, 1] as ours, (B, H, W, 3) in [0, 1]."""
    return (np.moveaxis(images, 1, -1) + 1.0) / 2.0


def from_unit(images) -> np.ndarray:
    """The inverse of `to_unit`."""
    return nchw(2.0 * np.asarray(images) - 1.0)


@functools.cache
def tokenizer():
    """The tokenizer and its variables, as the reader gives them."""
    read, params = released.read("llamagen_vqgan", file(f"{TOKENIZER}.pt"))
    return nets.build(read), {"params": params}


@functools.cache
def transformer(name: str = TRANSFORMER, prompt_rotation: str = "zero"):
    """A transformer of `CONFIGS` and its variables, as the reader gives them."""
    sizes = config(name)
    read, params = released.read(
        "llamagen_gpt", file(f"{name}.pt"), grid=sizes["grid"], num_heads=sizes["n_head"]
    )
    return nets.build(read).taking_prompts(prompt_rotation), {"params": params}


def run(module_and_variables, method: str, *args, **kwargs):
    """A method of a net, compiled once for all tests."""
    module, variables = module_and_variables
    return _jitted(module, method)(variables, *args, **kwargs)


@functools.cache
def _jitted(module, method: str):
    return jax.jit(functools.partial(module.apply, method=method))


def inside(module_and_variables, *args, **kwargs) -> dict:
    """What the modules of a net return for a call."""
    module, variables = module_and_variables

    def call(variables):
        return module.apply(variables, *args, **kwargs, capture_intermediates=True)[1]

    return jax.jit(call)(variables)["intermediates"]


def log_likelihood(logits, tokens) -> jax.Array:
    """Of tokens (B, N) in the distributions of logits (B, N, K)."""
    logits = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
