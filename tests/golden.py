"""Reference numbers of the released code: where they lie, and how near is near enough.

Every size, seed and tolerance comes from the folder's manifest, so that a folder made with another
model serves the same tests. Tests that need the folder are skipped if it is absent, and comparisons
with values that it lacks.
"""

import functools
import re

import jax
import numpy as np
import pytest
from flax import serialization, traverse_util

from tests.golden_folder import Folder, Known, lacks
from vpt_gen.nets.discriminator import Discriminator
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.vqgan import VQGAN

_FOLDER = Folder("nar")
FOLDER, ABSENT = _FOLDER.path, _FOLDER.absent
manifest, file = _FOLDER.json, _FOLDER.file


def config(part: str) -> dict:
    """The reference's configuration: 'maskgit_config' or 'generative_transfer_config'."""
    return manifest()["config"][part]


def load(file: str, name: str) -> np.ndarray:
    return _FOLDER.arrays(file)[name]


def find(file: str, pattern: str) -> list[str]:
    """What the group of `pattern` catches in the names of a file's arrays, each once, in order."""
    if not _FOLDER.is_there():
        return []
    matches = (re.fullmatch(pattern, name) for name in manifest()["arrays"].get(file, ()))
    return list(dict.fromkeys(match[1] for match in matches if match))


def cases(file: str, pattern: str) -> list:
    """`find` for `pytest.mark.parametrize`: one skipped case if there are none."""
    reason = f"{FOLDER / file} lacks {pattern}" if _FOLDER.is_there() else ABSENT
    return find(file, pattern) or [pytest.param("", marks=pytest.mark.skip(reason=reason))]


def tolerance(file: str, name: str) -> float:
    return manifest()["arrays"][file][name].get("atol_suggested", 0.0)


def assert_near(value, expected: np.ndarray, atol: float, name: str) -> None:
    value = np.asarray(value)
    assert value.shape == expected.shape, f"{name}: shape {value.shape}, not {expected.shape}"
    if np.issubdtype(expected.dtype, np.floating):
        error = np.abs(value.astype(np.float64) - expected)
        worst = error.max(initial=0.0)
        # Written so that a NaN fails.
        assert worst <= atol, f"{name}: off by {worst:.3g}, allowed {atol:.3g}"
    else:
        wrong = np.count_nonzero(value != expected)
        assert wrong == 0, f"{name}: {wrong} of {expected.size} values differ"


def check(file: str, name: str, value, like: tuple[str, str] | None = None) -> None:
    """Asserts that `value` is the golden array, integers exactly, floats to its own tolerance.

    `like` names an array of the same function whose tolerance may serve as well, for arrays whose
    manifest records no error of their own.
    """
    if not _FOLDER.has(file, name):
        return
    atol = tolerance(file, name)
    if like:
        atol = max(atol, tolerance(*like))
    assert_near(value, load(file, name), atol, f"{file}:{name}")


def check_all(file: str, prefix: str, tree) -> None:
    """Asserts that the leaves of a tree are the golden arrays `<prefix>/<path>`, all of them."""
    leaves, names = flat(tree), find(file, rf"{re.escape(prefix)}/(.+)")
    if not names:
        return lacks(f"{FOLDER / file} lacks {prefix}")
    assert sorted(leaves) == sorted(names)
    for path, leaf in leaves.items():
        check(file, f"{prefix}/{path}", leaf)


def flat(tree) -> dict:
    return traverse_util.flatten_dict(tree, sep="/")


def in_float64(tree):
    """A tree of arrays in float64, for use inside `jax.enable_x64`.

    What rounding adds to a gradient differs between processors, by more than the tolerances of the
    smallest ones allow.
    """
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def layout(tree) -> dict[str, tuple]:
    """{path: (shape, dtype)} of a tree of arrays."""
    return {path: (leaf.shape, np.dtype(leaf.dtype)) for path, leaf in flat(tree).items()}


@functools.cache
def checkpoint(file: str) -> dict:
    content = Known(serialization.msgpack_restore(_FOLDER.file(file).read_bytes()))
    content.where = str(FOLDER / file)
    return content


def checkpoint_config(file: str) -> dict:
    return manifest()["checkpoints"][file]["config"]


@functools.cache
def vqgan() -> tuple[VQGAN, dict]:
    c = checkpoint_config("tokenizer.msgpack")
    net = VQGAN(
        filters=c["filters"],
        channel_multipliers=tuple(c["channel_multipliers"]),
        num_res_blocks=c["num_res_blocks"],
        embedding_dim=c["embedding_dim"],
        codebook_size=c["codebook_size"],
    )
    return net, dict(checkpoint("tokenizer.msgpack"))


@functools.cache
def _vqgan_method(method: str):
    return jax.jit(functools.partial(vqgan()[0].apply, method=method))


def run_vqgan(method: str, *args):
    """A method of the VQGAN with its golden parameters, compiled once for all tests."""
    return _vqgan_method(method)(vqgan()[1], *args)


@functools.cache
def maskgit() -> tuple[MaskGIT, dict]:
    c = checkpoint_config("transformer.msgpack")
    net = MaskGIT(
        codebook_size=c["codebook_size"],
        num_classes=c["num_class"],
        num_tokens=c["max_position_embeddings"] - 1,
        num_layers=c["num_layers"],
        hidden_size=c["num_embeds"],
        num_heads=c["num_heads"],
        intermediate_size=c["intermediate_size"],
        dropout_rate=c["dropout_rate"],
    )
    return net, dict(checkpoint("transformer.msgpack"))


@functools.cache
def _maskgit_method(method: str):
    return jax.jit(functools.partial(maskgit()[0].apply, method=method))


def run_maskgit(method: str, *args):
    """A method of the transformer with its golden parameters, compiled once for all tests."""
    return _maskgit_method(method)(maskgit()[1], *args)


def prompt_kinds() -> list:
    """The prompt generators of the folder, for `pytest.mark.parametrize`."""
    return cases("prompt.npz", r"prompts_(\w+)")


@functools.cache
def prompt_generator(kind: str) -> tuple[PromptGenerator, dict]:
    c = checkpoint_config("prompt.msgpack")[kind]
    net = PromptGenerator(
        num_classes=c["vocab_size"],
        num_prompt_tokens=c["seq_length"],
        feature_size=c["embedding_size"],
        hidden_size=c["hidden_size"] or None,
    )
    return net, checkpoint("prompt.msgpack")[kind]


@functools.cache
def discriminator() -> tuple[Discriminator, dict]:
    variables = dict(checkpoint("discriminator.msgpack"))
    # One width at full resolution, and one after each block: from the largest side down to 4.
    params = variables["params"]
    blocks = sum(name.startswith("ResBlock_") for name in params)
    widths = [params["Conv_0"]["kernel"].shape[-1]]
    widths += [params[f"ResBlock_{i}"]["Conv_2"]["kernel"].shape[-1] for i in range(blocks)]
    sides = [4 << (blocks - i) for i in range(blocks + 1)]
    return Discriminator(dict(zip(sides, widths, strict=True))), variables


def threefry(variant: str):
    """Context with the random numbers of 'p1' (JAX's own today) or 'p0' (as in 2022)."""
    return jax.threefry_partitionable({"p0": False, "p1": True}[variant])


def noted(monkeypatch, module, name: str) -> list[tuple[tuple, object]]:
    """Lets a function of a module note its calls: a growing list of (arguments, result)."""
    calls, function = [], getattr(module, name)

    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        calls.append((args, result))
        return result

    monkeypatch.setattr(module, name, call)
    return calls
