"""Reference numbers of Halton-MaskGIT: its transformer, its sampler and prompts on it.

`VPT_GEN_GOLDEN_HALTON` names another folder of the same kind; sizes and tolerances come from its
config and manifest.
"""

import functools
import re

import jax
import numpy as np

from tests.golden_folder import Folder
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.nets.transformer import MASK_TOKEN_ID, NO_CLASS

_FOLDER = Folder("halton")
FOLDER, ABSENT, needed = _FOLDER.path, _FOLDER.absent, _FOLDER.needed
manifest, file, arrays, json = _FOLDER.json, _FOLDER.file, _FOLDER.arrays, _FOLDER.json
check = _FOLDER.check

LAYOUT = "train_layout.pth"
_CONFIG = ".config.json"


def weights() -> str:
    """The file of the golden transformer: the one with a config beside it."""
    config = next(name for name in manifest()["files"] if name.endswith(_CONFIG))
    return config.replace(_CONFIG, ".pth")


def sizes() -> dict:
    """The config of the golden transformer."""
    return json(weights().replace(".pth", _CONFIG))


def sampler_runs() -> list[str]:
    """The runs of the sampler, for `pytest.mark.parametrize`."""
    return list(manifest()["sampler_cases"]) if _FOLDER.is_there() else []


def layout_heads() -> int:
    """Heads of the transformer in the layout of training, which only a sentence tells."""
    found = re.search(r"heads = (\d+)", manifest()["files"][LAYOUT])
    assert found is not None
    return int(found[1])


@functools.cache
def transformer(name: str = ""):
    """The net and its parameters, as the reader gives them; '' is the one with a config."""
    heads = layout_heads() if name else sizes()["heads"]
    config, params = released.read("halton_maskgit", file(name or weights()), num_heads=heads)
    return nets.build(config), params


@functools.cache
def _jitted(net, method):
    return jax.jit(functools.partial(net.apply, method=method))


def logits_with_mask(net, tokens, prompts=None, class_ids=None, vectors=None):
    """Logits (B, N, K + 1), the last of the mask, as the released net returns them; a method."""
    hidden = net.hidden_states(tokens, prompts, class_ids, vectors=vectors)
    return net.predict_with_mask(hidden)


def run(method, *args, of: str = "", **kwargs):
    """A method of a golden transformer, compiled once for all tests."""
    net, params = transformer(of)
    return _jitted(net, method)({"params": params}, *args, **kwargs)


def tokens(name: str, array: str, of: str = "") -> np.ndarray:
    """The reference's tokens (B, h, w) as ours, (B, N)."""
    return ours(arrays(name)[array], transformer(of)[0].codebook_size)


def ours(ids: np.ndarray, mask_id: int) -> np.ndarray:
    """The reference's ids (..., h, w) -> (..., N), masked as we mask."""
    flat = ids.reshape(*ids.shape[:-2], -1)
    return np.where(flat == mask_id, MASK_TOKEN_ID, flat).astype(np.int32)


def classes(name: str) -> np.ndarray:
    """Class ids (B,), of which the dropped ones are none."""
    stored = arrays(name)
    return np.where(stored["drop"], NO_CLASS, stored["class_ids"]).astype(np.int32)


def dropped_row() -> np.ndarray:
    """The vector of no class (D,)."""
    return transformer()[1]["label_embeddings"]["embedding"][-1]
