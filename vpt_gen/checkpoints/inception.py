"""The weights of the FID's InceptionV3, from the file that PyPI `torch-fidelity` uses.

The file is a torch file of the format before 2020. `pt_inception-2015-12-05-6726825d.pth` of PyPI
`pytorch-fid` has the same content, and can be used under the name below.
"""

import hashlib
import pathlib

import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.released import layout, torch_file
from vpt_gen.checkpoints.released.fetching import fetch
from vpt_gen.errors import UserError
from vpt_gen.nets.inception import SIDE, InceptionV3

FILE = "weights-inception-2015-12-05-6726825d.pth"
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
# Start of the file's SHA-256; its publishers give no more of it.
DIGEST_PREFIX = "6726825d"

_EPSILON = 0.001  # of every batch norm
_NORM = ("weight", "bias", "running_mean", "running_var")


def obtain_inception(weights_dir: str) -> pathlib.Path:
    """Returns the path of the published file, fetching it if the folder lacks it.

    Raises:
      UserError: no network, or content other than the published one.
    """
    path = pathlib.Path(weights_dir).expanduser() / FILE
    if not path.exists():
        fetch(ADDRESS, path)
    if not _digest(path).startswith(DIGEST_PREFIX):
        raise UserError(
            f"{path} is not the published file: its SHA-256 does not begin with {DIGEST_PREFIX}. "
            "Delete it and give the same command again."
        )
    return path


def load_inception(path: str | pathlib.Path) -> PretrainedNet:
    """Reads `InceptionV3`, with every batch norm folded into the convolution before it.

    Args:
      path: a torch file with the published names; its digest may differ, as for test weights. The
        digest of the net is the SHA-256 of the file.

    Raises:
      UserError: the file is missing or not a torch file, or has tensors that are missing, unknown
        or misshapen.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"Inception weights {path} do not exist; check the path.")
    tensors = torch_file.tensors(path)
    net = InceptionV3()
    shapes = layout.param_shapes(net, layout.image_batch(SIDE))
    # A state dict that torch saved contains the number of batches of each norm.
    found = {n: t.shape for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    layout.check(path, found, _torch_shapes(shapes))
    params = {}
    for name in sorted({key.rpartition("/")[0] for key in shapes}):
        prefix = name.replace("/", ".")
        params[f"{name}/kernel"], params[f"{name}/bias"] = (
            _dense(tensors, prefix) if name == "fc" else _folded(tensors, prefix)
        )
    return PretrainedNet(net, layout.nest(params), _digest(path), {"file": path.name})


def _torch_shapes(shapes: layout.Shapes) -> dict[str, tuple[int, ...]]:
    """Shapes of the net's parameters -> shapes of the file's tensors, under the file's names."""
    expected = {}
    for key, shape in shapes.items():
        name, _, kind = key.replace("/", ".").rpartition(".")
        if name == "fc":
            expected["fc.weight" if kind == "kernel" else "fc.bias"] = shape[::-1]
        elif kind == "kernel":
            height, width, inputs, outputs = shape
            expected[f"{name}.conv.weight"] = (outputs, inputs, height, width)
            expected.update({f"{name}.bn.{part}": (outputs,) for part in _NORM})
    return expected


def _dense(tensors, name: str) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.asarray(tensors[f"{name}.weight"].read(), np.float32)
    return kernel.T, np.array(tensors[f"{name}.bias"].read(), np.float32)


def _folded(tensors, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel HWIO and bias of convolution and batch norm combined, computed in float64."""
    weight, bias, mean, variance = (
        tensors[f"{name}.bn.{part}"].read().astype(np.float64) for part in _NORM
    )
    scale = weight / np.sqrt(variance + _EPSILON)
    kernel = tensors[f"{name}.conv.weight"].read().transpose(2, 3, 1, 0) * scale
    return kernel.astype(np.float32), (bias - mean * scale).astype(np.float32)


def _digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
