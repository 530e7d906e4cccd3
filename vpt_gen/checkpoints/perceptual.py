"""Reads weights of the perceptual distance LPIPS from the user's files.

A folder of weights holds, for the backbone "vgg" or "alex", either

- torchvision's `vgg16-397923af.pth`, or `alexnet-owt-7be5be79.pth` (older: `-4df8aa71.pth`), and
  the last layers that PyPI `lpips` has as `weights/v0.1/vgg.pth` and `alex.pth`, in a sub-folder
  `v0.1`, as there;
- or `lpips_vgg.npz`, `lpips_alex.npz`, made on a machine with torch and torchvision:

    weights = lpips.LPIPS(net="vgg").state_dict()
    numpy.savez("lpips_vgg.npz", **{name: value.numpy() for name, value in weights.items()})

Torch files are read without torch. torchvision's names (`features.0.weight`) and those of `lpips`
(`net.slice1.0.weight`) both work.
"""

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet, digest_of_params
from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.checkpoints.released.torch_file import TorchTensor
from vpt_gen.errors import UserError
from vpt_gen.machine.array_files import StoredArray, open_npz
from vpt_gen.nets.lpips import LPIPS, MIN_SIDE

# Names of torchvision's files, the newest first.
_TORCHVISION = {
    "vgg": ("vgg16-397923af.pth",),
    "alex": ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"),
}
# Indices of the convolutions in torchvision's list of layers.
_LAYERS = {
    "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "alex": (0, 3, 6, 8, 10),
}
# Constants, second names of the lin tensors, and torchvision's classifier: not needed here.
_IGNORED = ("scaling_layer.", "lins.", "classifier.")


def perceptual_files(folder: str | pathlib.Path, backbone: str = "vgg") -> list[pathlib.Path]:
    """Returns the files of a folder that hold the weights; none if one of them is missing."""
    folder = pathlib.Path(folder).expanduser()
    lin = folder / "v0.1" / f"{backbone}.pth"
    choices = [[folder / f"lpips_{backbone}.npz"]]
    choices += [[folder / name, lin] for name in _TORCHVISION[backbone]]
    return next((files for files in choices if all(file.is_file() for file in files)), [])


def load_perceptual(path: str | pathlib.Path, backbone: str = "vgg") -> PretrainedNet:
    """Reads `nets.lpips.LPIPS`, float32.

    Args:
      path: a folder, see above, or one file with all tensors (.npz or a torch file).
      backbone: of `nets.lpips.NETS`.

    Raises:
      UserError: missing weights, a file that cannot be read, or tensors that are missing, unknown
        or of another shape.
    """
    path = pathlib.Path(path).expanduser()
    files = perceptual_files(path, backbone) if path.is_dir() else [path]
    if not all(file.is_file() for file in files):
        raise UserError(f"Perceptual weights {path} do not exist; check the path.")
    if not files:
        raise UserError(
            f"{path} lacks weights of LPIPS on {backbone}: they are {_TORCHVISION[backbone][0]} of "
            f"torchvision with v0.1/{backbone}.pth of PyPI lpips, or lpips_{backbone}.npz."
        )
    tensors: dict[str, StoredArray | TorchTensor] = {}
    for file in files:
        tensors.update(_tensors(file))
    net, images = LPIPS(backbone), layout.image_batch(MIN_SIDE[backbone])
    shapes = layout.param_shapes(net, images, images)
    names = {key: _torch_name(key, _LAYERS[backbone]) for key in shapes}
    where = " with ".join(map(str, files))
    layout.check(
        where,
        {name: tensor.shape for name, tensor in tensors.items()},
        {names[key]: _torch_shape(key, shape) for key, shape in shapes.items()},
    )
    params = layout.nest(
        {
            key: _to_flax(key, layout.floats(where, name, tensors[name].read()))
            for key, name in names.items()
        }
    )
    about = {"files": [file.name for file in files]}
    digest = digest_of_params({"net": "lpips", "backbone": backbone}, params)
    return PretrainedNet(net, params, digest, about)


def _tensors(file: pathlib.Path) -> dict[str, StoredArray | TorchTensor]:
    """Returns the needed tensors of the file, under torchvision's names."""
    tensors = _open_npz(file) if file.suffix == ".npz" else torch_file.tensors(file)
    return {
        re.sub(r"^net\.slice\d\.", "features.", name): tensor
        for name, tensor in tensors.items()
        if not name.startswith(_IGNORED)
    }


def _open_npz(file: pathlib.Path) -> dict[str, StoredArray]:
    try:
        return open_npz(file)
    except (OSError, ValueError) as error:
        raise UserError(f"Perceptual weights {file} cannot be read: {error}") from error


def _torch_name(key: str, layers: Sequence[int]) -> str:
    """Path in `LPIPS` -> torchvision's name, or that of `lpips` for its last layers."""
    if key.startswith("lin"):
        return f"{key}.model.1.weight"
    _, conv, kind = key.split("/")
    layer = layers[int(conv.removeprefix("Conv_"))]
    return f"features.{layer}.{'weight' if kind == 'kernel' else kind}"


def _torch_shape(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in `LPIPS` -> shape in torch: see `_to_flax`."""
    if key.startswith("lin"):
        return (1, *shape, 1, 1)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def _to_flax(key: str, tensor: np.ndarray) -> np.ndarray:
    """A bias as it is, a kernel OIHW -> HWIO, and the 1x1 kernel of a lin layer -> (C,)."""
    if key.startswith("lin"):
        return tensor.reshape(-1)
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor
