"""Reference numbers of TiTok's tokenizers, generators and sampler.

As in `tests/golden.py`, sizes and tolerances come from the folder: from its config files and from
what its manifest says of an array. `VPT_GEN_GOLDEN_TITOK` names another folder of the same kind.
"""

import functools
import json as text
import re

import numpy as np

from tests.golden_folder import Folder, inside, run  # noqa: F401 (for the tests)
from vpt_gen import nets
from vpt_gen.checkpoints import released

_FOLDER = Folder("titok")
FOLDER, ABSENT, needed = _FOLDER.path, _FOLDER.absent, _FOLDER.needed
manifest, file, json = _FOLDER.json, _FOLDER.file, _FOLDER.json
check = _FOLDER.check

# The two layouts of tokenizers, and the two designs of generators: file and config.
TOKENIZERS = {
    "legacy": ("tokenizer_titok_legacy.bin", "tokenizer_titok_legacy.config.json"),
    "vq8k": ("tokenizer_titok_vq8k_hub", "tokenizer_titok_vq8k_hub/config.json"),
}
GENERATORS = ("bert", "uvit")


def load(file: str, name: str) -> np.ndarray:
    return _FOLDER.arrays(file)[name]


def names(file: str, pattern: str) -> list[str]:
    """Names of a file's arrays that match a regular expression."""
    if not _FOLDER.is_there():
        return []
    return [name for name in manifest()["arrays"][file] if re.fullmatch(pattern, name)]


def settings(file: str, name: str) -> dict:
    """The settings of a sampling run, in what the manifest says of one of its arrays."""
    found = re.search(r"\{.*\}", manifest()["arrays"][file][name]["meaning"])
    assert found, f"{name}: its meaning has no settings"
    return text.loads(found[0])


def nchw(maps) -> np.ndarray:
    """Images and feature maps of ours (B, H, W, C) as the reference's."""
    return np.moveaxis(np.asarray(maps), -1, 1)


def nhwc(maps) -> np.ndarray:
    """The inverse of `nchw`."""
    return np.moveaxis(np.asarray(maps), 1, -1)


@functools.cache
def tokenizer(kind: str):
    """A tokenizer and its variables, as the reader gives them."""
    weights, config = TOKENIZERS[kind]
    sizes = json(config)["model"]["vq_model"]
    heads = {
        "encoder_heads": sizes["vit_sizes"][sizes["vit_enc_model_size"]]["heads"],
        "decoder_heads": sizes["vit_sizes"][sizes["vit_dec_model_size"]]["heads"],
    }
    read, params = released.read("titok", file(weights), **heads)
    return nets.build(read), {"params": params}


@functools.cache
def generator(kind: str):
    """A generator and its variables, as the reader gives them."""
    sizes = json(f"generator_{kind}.config.json")["model"]["generator"]
    read, params = released.read(
        "titok_maskgit", file(f"generator_{kind}.bin"), num_heads=sizes["num_attention_heads"]
    )
    return nets.build(read), {"params": params}
