"""Reference numbers of torch-fidelity's InceptionV3, and the random weights they were taken with.

`VPT_GEN_GOLDEN_METRICS` names another folder of the same kind.
"""

import functools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(
    os.environ.get("VPT_GEN_GOLDEN_METRICS")
    or Path(__file__).parents[2] / "shared" / "golden" / "metrics"
)
needed = pytest.mark.skipif(
    not (FOLDER / "inception_recipe.json").exists(),
    reason="no golden folder: set VPT_GEN_GOLDEN_METRICS to one",
)


@functools.cache
def _inception() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "inception.npz") as arrays:
        return dict(arrays)


def inception(name: str) -> np.ndarray:
    return _inception()[name]


@functools.cache
def manifest() -> dict:
    return json.loads((FOLDER / "manifest.json").read_text())


def images() -> list[np.ndarray]:
    """The golden images, uint8 (H, W, 3), of three sizes, in the order of the features."""
    sizes = manifest()["configs"]["sizes"]
    batches = [inception(f"images_{h}x{w}").transpose(0, 2, 3, 1) for h, w, _ in sizes]
    return [image for batch in batches for image in batch]


def assert_golden(value: np.ndarray, name: str) -> None:
    tolerance = manifest()["arrays"]["inception.npz"][name]["tolerance"]
    np.testing.assert_allclose(value, inception(name), **tolerance, err_msg=name)


def recipe_shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the published file."""
    recipe = json.loads((FOLDER / "inception_recipe.json").read_text())
    return {name: tuple(shape) for name, shape in recipe["keys"]}


def recipe_tensors() -> dict[str, np.ndarray]:
    """The random weights, in torch's names and layout."""
    recipe = json.loads((FOLDER / "inception_recipe.json").read_text())
    random = np.random.Generator(np.random.PCG64(recipe["seed"]))
    return {
        name: draw(name, shape, random).astype(np.float32)
        for name, shape in recipe_shapes().items()
    }


def draw(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if name.endswith("conv.weight"):
        return random.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    if name.endswith("bn.weight"):
        return 0.75 + 0.5 * random.random(shape)
    if name.endswith("running_var"):
        return 0.5 + random.random(shape)
    if name == "fc.weight":
        return random.standard_normal(shape) * math.sqrt(1 / shape[1])
    return 0.1 * random.standard_normal(shape)
