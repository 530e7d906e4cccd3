"""Reference numbers of torch-fidelity's InceptionV3, and the random weights they were taken with.

`VPT_GEN_GOLDEN_METRICS` names another folder of the same kind.
"""

import math

import numpy as np

from tests.golden_folder import Folder

_FOLDER = Folder("metrics")
FOLDER, needed = _FOLDER.path, _FOLDER.needed
manifest, facts, arrays = _FOLDER.json, _FOLDER.json, _FOLDER.arrays


def images() -> list[np.ndarray]:
    """The golden images, uint8 (H, W, 3), of three sizes, in the order of the features."""
    sizes = manifest()["configs"]["sizes"]
    batches = [
        arrays("inception.npz")[f"images_{h}x{w}"].transpose(0, 2, 3, 1) for h, w, _ in sizes
    ]
    return [image for batch in batches for image in batch]


def assert_golden(value: np.ndarray, name: str, file: str = "inception.npz") -> None:
    if not _FOLDER.has(file, name):
        return
    tolerance = manifest()["arrays"][file][name]["tolerance"]
    np.testing.assert_allclose(value, arrays(file)[name], **tolerance, err_msg=name)


def recipe_shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the published file."""
    return {name: tuple(shape) for name, shape in facts("inception_recipe.json")["keys"]}


def recipe_tensors() -> dict[str, np.ndarray]:
    """The random weights, in torch's names and layout."""
    recipe = facts("inception_recipe.json")
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


def lpips_tensors(backbone: str) -> dict[str, np.ndarray]:
    """The random weights of LPIPS on "vgg" or "alex", in PyPI `lpips`' names and layout."""
    recipe = facts("lpips.json")["recipe"]
    random = np.random.Generator(np.random.PCG64(recipe["seed"]))
    tensors = {}
    for net, name, shape in recipe["keys"]:
        if name.startswith("lin"):
            value = 0.5 * random.random(shape)
        elif name.endswith("bias"):
            value = 0.1 * random.standard_normal(shape)
        else:
            value = random.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        if net == backbone:
            tensors[name] = value.astype(np.float32)
    return tensors
