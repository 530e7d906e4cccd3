"""The weights of the perceptual distance, from an .npz with the tensor names of PyPI `lpips`.

Made where torch and torchvision are installed (`pip install lpips`), from ImageNet's VGG16:

    weights = lpips.LPIPS(net="vgg").state_dict()
    numpy.savez("lpips_vgg.npz", **{name: value.numpy() for name, value in weights.items()})

torchvision's own names for VGG16 (`features.0.weight`) serve as well as `net.slice1.0.weight`.
"""

import pathlib
import re
import zipfile
import zlib
from typing import Any

import numpy as np
from flax import traverse_util

from vpt_gen.errors import UserError
from vpt_gen.nets.lpips import MIN_SIDE, STAGES

# Where VGG16's convolutions stand in torchvision's list of layers.
_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
# Constants, second names of the lin tensors, and torchvision's classifier: not needed here.
_IGNORED = ("scaling_layer.", "lins.", "classifier.")
_MAX_LISTED = 8


def load_perceptual(path: str, image_size: int) -> Any:
    """Reads the parameters of `nets.lpips.LPIPS`, float32.

    Args:
      path: the .npz; '' gives None.
      image_size: side of the images to compare.

    Raises:
      UserError: no such file, no .npz, tensors that are missing, unknown or of another shape, or
        images too small to compare.
    """
    if not path:
        return None
    if image_size < MIN_SIDE:
        raise UserError(
            f"config.data.image_size {image_size} is too small for the perceptual term: use "
            f"{MIN_SIDE} or more, or set config.losses.perceptual_weights to ''."
        )
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UserError(
            f"Perceptual weights {file} do not exist; set config.losses.perceptual_weights to an "
            ".npz (vpt_gen/checkpoints/perceptual.py says how to make one), or to '' for none."
        )
    tensors, layout = _read(file), _layout()
    _check(file, tensors, {name: shape for name, (_, shape) in layout.items()})
    params = {key: _to_flax(tensors[name]) for name, (key, _) in layout.items()}
    return traverse_util.unflatten_dict(params, sep="/")


def _layout() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in torch -> path in `LPIPS` and shape in torch."""
    layout = {
        f"lin{stage}.model.1.weight": (f"lin{stage}", (1, width, 1, 1))
        for stage, (width, _) in enumerate(STAGES)
    }
    widths = [width for width, depth in STAGES for _ in range(depth)]
    for i, (layer, before, width) in enumerate(zip(_LAYERS, [3, *widths], widths, strict=False)):
        layout[f"features.{layer}.weight"] = (f"vgg/Conv_{i}/kernel", (width, before, 3, 3))
        layout[f"features.{layer}.bias"] = (f"vgg/Conv_{i}/bias", (width,))
    return layout


def _read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The file's tensors, under torchvision's names."""
    try:
        with np.load(file) as tensors:
            return {
                re.sub(r"^net\.slice\d\.", "features.", name): np.asarray(tensors[name], np.float32)
                for name in tensors
                if not name.startswith(_IGNORED)
            }
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"Perceptual weights {file} are no readable .npz: {error}") from error


def _check(file: pathlib.Path, tensors: dict, shapes: dict) -> None:
    """Raises UserError that names every kind of mismatch."""
    problems = {
        "missing": [name for name in shapes if name not in tensors],
        "unknown": [name for name in tensors if name not in shapes],
        "misshapen": [
            f"{name} {tensors[name].shape} instead of {shape}"
            for name, shape in shapes.items()
            if name in tensors and tensors[name].shape != shape
        ],
    }
    found = [f"{kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if found:
        raise UserError(f"{file} does not hold the weights of LPIPS on VGG16; {'; '.join(found)}.")


def _listed(names: list[str]) -> str:
    rest = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _to_flax(tensor: np.ndarray) -> np.ndarray:
    """A bias as it is, a kernel OIHW -> HWIO, and the 1x1 kernel of a lin layer -> (C,)."""
    if tensor.ndim == 1:
        return tensor
    kernel = tensor.transpose(2, 3, 1, 0)
    return kernel[0, 0, :, 0] if kernel.shape[0] == 1 else kernel
