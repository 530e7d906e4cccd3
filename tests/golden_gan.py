"""Reference numbers of BigGAN, cGANTransfer and MineGAN.

As in `tests/golden.py`, sizes and tolerances come from the folder's manifest. Arrays are the
reference's in float64, so that most tests compute in float64, too: a mistake shows there that
float32 noise would hide.
"""

import dataclasses
import functools
import re

import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

from tests.golden_folder import Folder, lacks
from vpt_gen.checkpoints.released import torch_file
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.training.adversarial import DISCRIMINATOR, Draws

_FOLDER = Folder("gan")
FOLDER, ABSENT, needed = _FOLDER.path, _FOLDER.absent, _FOLDER.needed
manifest, file, arrays = _FOLDER.json, _FOLDER.file, _FOLDER.arrays
# The manifest's tolerance in float64: stored values are rounded to float32.
FLOAT64 = 1e-6


def facts(file: str) -> dict:
    return manifest()["files"][file]


@functools.cache
def state_dict(file: str) -> dict[str, np.ndarray]:
    tensors = torch_file.tensors(_FOLDER.file(file))
    return {name: tensor.read() for name, tensor in tensors.items()}


def load(file: str, name: str) -> np.ndarray:
    """An array, in float64 where it is also stored so."""
    stored = arrays(file)
    return stored[f"f64/{name}" if f"f64/{name}" in stored else name]


def group(file: str, prefix: str) -> dict[str, np.ndarray]:
    """{name without the prefix: array} of all arrays whose names begin so.

    Skips the test if it lacks inputs; what checks expected values names those that are lacking.
    """
    found = {
        name.removeprefix(prefix): load(file, name)
        for name in arrays(file)
        if name.startswith(prefix)
    }
    if not found and prefix.endswith("in/"):
        pytest.skip(f"{FOLDER / file} lacks {prefix}")
    return found


def real_size(name: str) -> dict:
    """Names and shapes of a published model."""
    return _FOLDER.json("real_size_keys.json")[name]


def nhwc(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(images, 1, -1)


def to_unit(images: np.ndarray) -> np.ndarray:
    """The reference's images (B, 3, H, W) in [-1, 1] as ours, (B, H, W, 3) in [0, 1]."""
    return (nhwc(images) + 1.0) / 2.0


def float64(tree):
    """Floating arrays of a tree in float64, for use inside `jax.enable_x64`."""
    return jax.tree.map(
        lambda x: np.asarray(x, np.float64) if np.issubdtype(x.dtype, np.floating) else x, tree
    )


def net(file: str) -> BigGAN:
    """The BigGAN of a file's config."""
    c = facts(file)["config"]

    def sides(text: str) -> tuple[int, ...]:
        return tuple(int(side) for side in text.split("_") if int(side))

    return BigGAN(
        num_classes=c["n_classes"],
        resolution=c["resolution"],
        generator_channels=c["G_ch"],
        discriminator_channels=c["D_ch"],
        z_size=c["dim_z"],
        shared_size=c["shared_dim"] or c["dim_z"],
        generator_attention=sides(c["G_attn"]),
        discriminator_attention=sides(c["D_attn"]),
        hierarchical=c["hier"],
        shared=c["G_shared"],
        bn_epsilon=c["BN_eps"],
        sn_epsilon=c["SN_eps"],
    )


def transfer_source(file: str) -> BigGAN:
    """The BigGAN that a transfer's file starts from."""
    c = facts(file)["config"]
    return dataclasses.replace(net(file), num_classes=c["n_pretrain_classes"])


def without(module: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The reference's tensors but for those of a module that nothing reads."""
    return {name: x for name, x in tensors.items() if name.split(".")[0] != module}


def unused_by_transfer(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """cGANTransfer's tensors without the source's gains, biases and table, which nothing reads."""
    unused = r"(shared\.|.*\.bn[12]\.(gain|bias)\.|.*\.pretrain_embedding_w)"
    return {name: x for name, x in tensors.items() if not re.match(unused, name)}


_LEAVES = {
    "u0": ("spectral", "u"),
    "sv0": ("spectral", "sigma"),
    "stored_mean": ("batch_stats", "mean"),
    "stored_var": ("batch_stats", "var"),
}
_TABLES = ("shared", "embed", "new_embed")


def our_name(name: str, is_table: bool = False) -> tuple[str, str]:
    """A name of the reference's -> our collection, and path with slashes in it.

    Where nothing is shared, gains and biases are tables, which their names do not tell.
    """
    *modules, leaf = name.split(".")
    path = "/".join(modules)
    path = re.sub(r"^blocks/(\d+)/0", r"block_\1", path)
    path = re.sub(r"^blocks/(\d+)/1", r"attention_\1", path)
    path = path.replace("output_layer/0", "output_norm").replace("output_layer/2", "output_conv")
    path = path.replace("new_embed", "embed")
    collection, leaf = _LEAVES.get(leaf, ("params", leaf))
    if collection == "batch_stats":
        path += "/norm"
    if leaf == "weight":
        leaf = "embedding" if is_table or modules[-1] in _TABLES else "kernel"
    return collection, f"{path}/{leaf}"


def our_value(name: str, value: np.ndarray, is_table: bool = False) -> np.ndarray:
    """A tensor of the reference's with our axes."""
    *modules, leaf = name.split(".")
    if leaf == "weight" and value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if leaf == "weight" and not is_table and modules[-1] not in _TABLES:
        return value.T
    return value.reshape(-1) if leaf == "u0" else value.reshape(()) if leaf == "sv0" else value


def published() -> BigGAN:
    """BigGAN as published for 128 pixels."""
    return BigGAN(real_size("biggan")["G"]["shapes"]["shared.weight"][0])


def shapes(variables) -> dict[str, tuple[int, ...]]:
    """{collection and path: shape} of a net of ours."""
    return {
        f"{collection}/{path}": leaf.shape
        for collection, tree in variables.items()
        for path, leaf in flat(tree).items()
    }


def shapes_of_reference(tensors: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
    """The same of the reference's {name: shape}."""
    return {
        "/".join(our_name(name)): our_value(name, np.broadcast_to(0.0, shape)).shape
        for name, shape in tensors.items()
    }


def captured(net, variables, *inputs):
    """A net's output and all that its modules return, by one program."""
    return jax.jit(functools.partial(net.apply, capture_intermediates=True))(variables, *inputs)


def check_logits(file: str, stage: str, adversaries, variables, given: dict) -> None:
    """What the discriminator says in a step: of fakes and reals together, or of fakes alone."""
    images, moved = jax.jit(adversaries.generate)(variables, given["z"], given["y"])
    class_ids, names = given["y"], ["fake"]
    if f"{stage}/logits_real" in arrays(file):
        images = np.concatenate([images, to_unit(given["x"])])
        class_ids, names = np.concatenate([class_ids, given["dy"]]), ["fake", "real"]
    logits, _ = jax.jit(adversaries.discriminate)(moved, images, class_ids)
    for name, value in zip(names, np.split(logits, len(names)), strict=True):
        assert_near(value, load(file, f"{stage}/logits_{name}"), f"{stage} {name}")


def variables(tensors: dict[str, np.ndarray]) -> dict:
    """The reference's tensors as collections of a net of ours."""
    flat: dict[str, dict] = {}
    for name, value in tensors.items():
        module, _, leaf = name.rpartition(".")
        is_table = leaf == "weight" and module.endswith((".gain", ".bias"))
        is_table &= f"{module}.u0" not in tensors
        collection, path = our_name(name, is_table)
        flat.setdefault(collection, {})[path] = our_value(name, value, is_table)
    return {name: traverse_util.unflatten_dict(part, sep="/") for name, part in flat.items()}


def flat(tree) -> dict:
    return traverse_util.flatten_dict(tree, sep="/")


def pair(tree, name: str, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Our array in a collection, and the reference's of that name with our axes."""
    ours, (_, path) = flat(tree), our_name(name)
    is_table = path not in ours
    if is_table:
        _, path = our_name(name, is_table)
    return np.asarray(ours[path]), our_value(name, value, is_table)


def assert_near(value, expected: np.ndarray, name: str, atol: float = FLOAT64) -> None:
    """Asserts an error of at most `atol`, times the largest value where that is above 1."""
    value = np.asarray(value)
    assert value.shape == expected.shape, f"{name}: shape {value.shape}, not {expected.shape}"
    allowed = atol * max(1.0, np.abs(expected).max(initial=0.0))
    worst = np.abs(value.astype(np.float64) - expected).max(initial=0.0)
    # Written so that a NaN fails.
    assert worst <= allowed, f"{name}: off by {worst:.3g}, allowed {allowed:.3g}"


def check_gradients(found, expected: dict[str, np.ndarray]) -> None:
    """1e-6 of a tensor's largest gradient; 2e-6 where that is a zero that rounding has moved."""
    if not expected:
        return lacks(f"{FOLDER} lacks gradients")
    for name, value in expected.items():
        ours, value = pair(found, name, value)
        largest = np.abs(value).max()
        allowed = 2e-6 if largest < 1e-9 else max(FLOAT64 * largest, 1e-9)
        worst = np.abs(ours - value).max()
        assert worst <= allowed, f"{name}: off by {worst:.3g}, allowed {allowed:.3g}"


def check_norms(found, expected: dict[str, np.ndarray]) -> None:
    """The L2 norms of gradients, each to 1e-6."""
    if not expected:
        return lacks(f"{FOLDER} lacks norms of gradients")
    for name, norm in expected.items():
        value = np.linalg.norm(np.ravel(pair(found, name, norm)[0]))
        np.testing.assert_allclose(value, norm, rtol=FLOAT64, atol=2e-6, err_msg=name)


def adam(rate: float, c: dict) -> optax.GradientTransformation:
    """The optimizer of a file's config."""
    return optax.adam(rate, b1=c["G_B1"], b2=c["G_B2"], eps=c["adam_eps"])


def descent(rate: float, c: dict) -> optax.GradientTransformation:
    """An optimizer whose state is the last gradient."""
    del rate, c
    return optax.GradientTransformation(lambda p: p, lambda g, s, p=None: (g, g))


def one_step(adversaries, variables: dict, given: dict, groups: tuple[str, ...]):
    """Losses and gradients of some groups on the file's batch; `adversaries` of `descent`."""
    draws = Draws(given["z"][None], given["y"][None])
    real = {"images": to_unit(given["x"])[None], "class_ids": given["dy"][None]}
    judges = groups == (DISCRIMINATOR,)
    loss = adversaries._discriminator_loss if judges else adversaries._generator_loss
    parts = (draws, real) if judges else (draws,)
    _, gradients, metrics = jax.jit(
        lambda v, s: adversaries._step(v, s, dict.fromkeys(groups, True), loss, parts)
    )(variables, adversaries.init_optimizers(variables))
    return {group: gradients[group] for group in groups}, metrics


METRICS = {
    "G_loss": "loss",
    "D_loss_real": "discriminator_real",
    "D_loss_fake": "discriminator_fake",
}


def run_steps(
    file: str, stage: str, adversaries, variables, opt_state, training, after_each=None, update=None
):
    """The updates of a stage, their losses compared with what the reference logged.

    `update` is `Adversaries.update`, compiled; by default one for these groups alone.
    """
    train, prefix = facts(file)["train"], f"steps/{stage}"
    inputs = float64(group(file, f"{prefix}in/"))
    update = update or jax.jit(lambda *state: adversaries.update(*state[:-1], training))
    for number in range(len(inputs["x"])):
        rows = slice(number * adversaries.num_parts, (number + 1) * adversaries.num_parts)
        variables, opt_state, metrics = update(
            variables,
            opt_state,
            to_unit(inputs["x"][number]),
            inputs["dy"][number],
            Draws(inputs["z"][rows], inputs["y"][rows]),
            training,
        )
        for name, ours in METRICS.items():
            # The reference logs the generator's loss divided by its accumulations.
            share = train["num_G_accumulations"] if name == "G_loss" else 1
            expected = load(file, f"{prefix}metrics/it{number + 1}/{name}")
            np.testing.assert_allclose(metrics[ours] / share, expected, rtol=1e-6, atol=1e-6)
        if after_each:
            after_each(number, variables)
    return variables, opt_state


def check_variables(found: dict, expected: dict[str, np.ndarray], atol: float = FLOAT64) -> None:
    """Asserts that every tensor of the reference's is in our variables."""
    if not expected:
        return lacks(f"{FOLDER} lacks variables after a step")
    for name, value in expected.items():
        collection, _ = our_name(name)
        assert_near(*pair(found[collection], name, value), name, atol)
