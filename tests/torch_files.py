"""Writes torch files without torch: the members that `torch.save` writes."""

import collections
import io
import pickle
import zipfile

import numpy as np


class FloatStorage:
    """Stands in the pickle for `torch.FloatStorage`."""


def rebuild():
    """Stands in the pickle for `torch._utils._rebuild_tensor_v2`."""


class Storage:
    def __init__(self, key, size):
        self.key, self.size = key, size


class Tensor:
    """Pickled as torch pickles a tensor: a call of its rebuilding function on a storage."""

    def __init__(self, key, shape):
        self.storage, self.shape = Storage(key, int(np.prod(shape))), tuple(shape)

    def __reduce__(self):
        strides = tuple(int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape)))
        return rebuild, (self.storage, 0, self.shape, strides, False, collections.OrderedDict())


class TorchPickler(pickle._Pickler):
    """Names torch's functions, and keeps storages out of the pickle."""

    dispatch = dict(pickle._Pickler.dispatch)

    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", FloatStorage, value.key, "cpu", value.size)
        return None

    def save_global(self, value, name=None):
        names = {rebuild: "torch._utils\n_rebuild_tensor_v2", FloatStorage: "torch\nFloatStorage"}
        if value in names:
            self.write(f"c{names[value]}\n".encode())
            self.memoize(value)
        else:
            super().save_global(value, name)

    dispatch[type(rebuild)] = dispatch[type] = save_global


def write(path, shapes, values, **rest):
    """Writes a Lightning checkpoint.

    Args:
      path: of the file.
      shapes: {name: shape} of its state dict.
      values: name -> float32 array; called once for each, so that a large file needs no memory.
      rest: what else the checkpoint holds.
    """
    state = {name: Tensor(str(i), shape) for i, (name, shape) in enumerate(shapes.items())}
    file = io.BytesIO()
    TorchPickler(file, protocol=2).dump({"state_dict": state, **rest})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", file.getvalue())
        for name, tensor in state.items():
            member = f"archive/data/{tensor.storage.key}"
            with archive.open(member, "w", force_zip64=True) as file:
                file.write(np.ascontiguousarray(values(name), np.float32).tobytes())
    return path
