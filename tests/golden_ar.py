"""Reference numbers of the autoregressive side: Taming Transformers' VQGAN and GPT.

As in `tests/golden.py`, sizes and tolerances come from the folder's manifest.
"""

import functools

import jax
import numpy as np
import pytest

from tests.golden_folder import Folder
from vpt_gen import nets
from vpt_gen.checkpoints import released

_FOLDER = Folder("ar")
FOLDER, ABSENT, needed = _FOLDER.path, _FOLDER.absent, _FOLDER.needed
manifest, file = _FOLDER.json, _FOLDER.file
check = _FOLDER.check


def load(file: str, name: str) -> np.ndarray:
    return _FOLDER.arrays(file)[name]


def debugged(file: str) -> list[str]:
    """Names of the arrays from inside the reference's nets; skips the test if there are none."""
    names = [name for name in manifest()["arrays"][file] if name.startswith("dbg_")]
    if not names:
        pytest.skip(f"{FOLDER / file} lacks arrays dbg_*")
    return names


def nhwc(images: np.ndarray) -> np.ndarray:
    """The reference's feature maps (B, C, H, W) as ours."""
    return np.moveaxis(images, 1, -1)


def to_unit(images: np.ndarray) -> np.ndarray:
    """The reference's images (B, 3, H, W) in [-1, 1] as ours, (B, H, W, 3) in [0, 1]."""
    return (nhwc(images) + 1.0) / 2.0


@functools.cache
def net(kind: str, file: str, **overrides):
    """A module and its variables, as the reader gives them."""
    config, params = released.read(kind, _FOLDER.file(file), **overrides)
    return nets.build(config), {"params": params}


def vqgan():
    return net("taming_vqgan", "vqgan.ckpt")


def num_heads() -> int:
    transformer = manifest()["configs"]["cin_transformer"]["params"]["transformer_config"]
    return transformer["params"]["n_head"]


def gpt():
    return net("taming_gpt", "cin_transformer.ckpt", num_heads=num_heads())


def run(module_and_variables, method: str, *args, **kwargs):
    """A method of a net, compiled once for all tests."""
    module, variables = module_and_variables
    return _jitted(module, method)(variables, *args, **kwargs)


@functools.cache
def _jitted(module, method: str):
    return jax.jit(functools.partial(module.apply, method=method))
