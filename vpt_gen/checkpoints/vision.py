"""What the readers of vision transformers share: fetching, and the conversion of their layers."""

import hashlib
import math
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.checkpoints.released.fetching import compare, fetch
from vpt_gen.checkpoints.released.torch_file import TorchTensor
from vpt_gen.errors import UserError
from vpt_gen.nets.vision_transformer import VisionTransformer

_HEAD_SIZE = 64  # of the published nets


def obtain(address: str, weights_dir: str) -> pathlib.Path:
    """Returns the path of a published file, fetching it if the folder lacks it.

    Its publisher states no SHA-256: a fetched file is compared with the checksum that the server
    sends, if any, and later with its own of that time.

    Raises:
      UserError: no network, or a file that changed since it was fetched.
    """
    path = pathlib.Path(weights_dir).expanduser() / address.rpartition("/")[2]
    if path.exists():
        compare(path)
    else:
        fetch(address, path)
    return path


def tensors(path: pathlib.Path, unused: tuple[str, ...]) -> dict[str, TorchTensor]:
    """Returns the tensors of a torch file, but those whose names begin with one of `unused`.

    Raises:
      UserError: the file is missing or not a torch file.
    """
    if not path.is_file():
        raise UserError(f"Weights {path} do not exist; check the path.")
    named = torch_file.tensors(path)
    return {name: tensor for name, tensor in named.items() if not name.startswith(unused)}


def heads(width: int, num_heads: int | None) -> int:
    """Returns the number of attention heads; that of published nets unless it is given."""
    return num_heads or max(1, width // _HEAD_SIZE)


def convert(
    path: pathlib.Path,
    net: VisionTransformer,
    tensors: Mapping[str, TorchTensor],
    file_name: Callable[[str], str],
    side: int,
    file_shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str, np.ndarray], np.ndarray],
) -> PretrainedNet:
    """Checks a file's tensors and converts them to a net's parameters.

    Args:
      path: of the file; the net's digest is its SHA-256.
      net: that the file should hold.
      tensors: of the file.
      file_name: path of a parameter, with slashes -> name of the tensor that holds it.
      side: of the net's images, pixels.
      file_shapes: name of a tensor -> its shape, where it is another than the parameter's in torch.
      read: (path of a parameter, tensor) -> the part of it that is the parameter, in torch's axes.

    Raises:
      UserError: tensors that are missing, unknown or misshapen.
    """
    shapes = layout.param_shapes(net, layout.image_batch(side))
    expected = {file_name(key): _torch_shape(key, shape) for key, shape in shapes.items()}
    layout.check(path, {n: t.shape for n, t in tensors.items()}, {**expected, **file_shapes})
    params = {}
    for key, shape in shapes.items():
        name = file_name(key)
        values = read(key, layout.floats(path, name, tensors[name].read()))
        params[key] = (
            values.transpose(2, 3, 1, 0)
            if key == "patches/kernel"
            else layout.from_torch(key, values, shape)
        )
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return PretrainedNet(net, layout.nest(params), digest, {"file": path.name})


def _torch_shape(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if key == "patches/kernel":
        return (shape[3], shape[2], *shape[:2])
    if key.endswith("/bias"):
        return (math.prod(shape),)  # The heads are in the width.
    return layout.torch_shape(key, shape)
