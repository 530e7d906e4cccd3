"""Reference numbers of RAR's transformer and sampler, and of its tokenizer in PyTorch.

As in `tests/golden.py`, sizes and tolerances come from the folder: from its config files and from
what its manifest says of an array. `VPT_GEN_GOLDEN_RAR` names another folder of the same kind.
"""

import functools
import re

import numpy as np

from tests.golden_folder import Folder, inside, run  # noqa: F401 (for the tests)
from vpt_gen import nets
from vpt_gen.checkpoints import released

_FOLDER = Folder("rar")
FOLDER, ABSENT, needed = _FOLDER.path, _FOLDER.absent, _FOLDER.needed
manifest, file, json = _FOLDER.json, _FOLDER.file, _FOLDER.json
check = _FOLDER.check

TOKENIZER, TRANSFORMER = "maskgit-vqgan-imagenet-f16-256.bin", "rar.bin"


def load(file: str, name: str) -> np.ndarray:
    return _FOLDER.arrays(file)[name]


def names(file: str, pattern: str) -> list[str]:
    """Names of a file's arrays that match a regular expression."""
    if not _FOLDER.is_there():
        return []
    return [name for name in manifest()["arrays"][file] if re.fullmatch(pattern, name)]


def generator() -> dict:
    """The transformer's configuration."""
    return json("rar.config.json")["model"]["generator"]


def said(file: str, name: str, word: str) -> float:
    """The number after a word in what the manifest says of an array."""
    found = re.search(rf"{word} (-?\d+(?:\.\d+)?)", manifest()["arrays"][file][name]["meaning"])
    assert found, f"{name}: its meaning does not tell {word}"
    return float(found[1])


def nchw(maps) -> np.ndarray:
    """Images and feature maps of ours (B, H, W, C) as the reference's."""
    return np.moveaxis(np.asarray(maps), -1, 1)


def nhwc(maps) -> np.ndarray:
    """The inverse of `nchw`."""
    return np.moveaxis(np.asarray(maps), 1, -1)


@functools.cache
def tokenizer():
    """The tokenizer and its variables, as the reader gives them."""
    read, params = released.read("maskgit_vqgan_torch", file(TOKENIZER))
    return nets.build(read), {"params": params}


@functools.cache
def transformer():
    """The transformer and its variables, as the reader gives them."""
    read, params = released.read("rar", file(TRANSFORMER))
    return nets.build(read), {"params": params}
