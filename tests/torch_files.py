"""Writes torch files without torch: the members that `torch.save` writes."""

import collections
import io
import math
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np

# Stand in the pickle for `torch.FloatStorage` and its like.
STORAGES = {
    np.dtype(dtype): type(f"{name}Storage", (), {})
    for dtype, name in (
        (np.float32, "Float"),
        (np.float16, "Half"),
        (jnp.bfloat16, "BFloat16"),
        (np.int64, "Long"),
        (np.complex64, "ComplexFloat"),
    )
}


def rebuild():
    """Stands in the pickle for `torch._utils._rebuild_tensor_v2`."""


class Storage:
    def __init__(self, key, size, dtype=np.float32):
        self.key, self.size, self.type = key, size, STORAGES[np.dtype(dtype)]


class Tensor:
    """Pickled as torch pickles a tensor: a call of its rebuilding function on a storage."""

    def __init__(self, storage, shape, offset=0, strides=None, state=None):
        if strides is None:
            strides = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        self.storage, self.view, self.state = storage, (offset, tuple(shape), strides), state

    def __reduce__(self):
        arguments = (self.storage, *self.view, False, collections.OrderedDict())
        return (rebuild, arguments) if self.state is None else (rebuild, arguments, self.state)


def tensor(key, shape, dtype=np.float32):
    """A tensor that is the whole of its storage."""
    return Tensor(Storage(key, math.prod(shape), dtype), tuple(shape))


class TorchPickler(pickle._Pickler):
    """Names torch's functions, and keeps storages out of the pickle."""

    dispatch = dict(pickle._Pickler.dispatch)
    legacy = False

    def persistent_id(self, value):
        if isinstance(value, Storage):
            part = (None,) if self.legacy else ()
            return ("storage", value.type, value.key, "cpu", value.size, *part)
        return None

    def save_global(self, value, name=None):
        names = {storage: f"torch\n{storage.__name__}" for storage in STORAGES.values()}
        names[rebuild] = "torch._utils\n_rebuild_tensor_v2"
        if value in names:
            self.write(f"c{names[value]}\n".encode())
            self.memoize(value)
        else:
            super().save_global(value, name)

    dispatch[type(rebuild)] = dispatch[type] = save_global


def pickled(content):
    """The object's pickle, its storages left out."""
    file = io.BytesIO()
    TorchPickler(file, protocol=2).dump(content)
    return file.getvalue()


def write_archive(path, pickle_bytes, storages=(), **members):
    """Writes the zip archive of a pickle.

    Args:
      path: of the file.
      pickle_bytes: see `pickled`.
      storages: pairs of a key and the bytes; made one after the other.
      members: bytes of whatever else stands beside the pickle.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_bytes)
        for key, values in storages:
            with archive.open(f"archive/data/{key}", "w", force_zip64=True) as file:
                file.write(values)
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return path


def write(path, shapes, values, section="state_dict", **rest):
    """Writes a checkpoint, by default as Lightning does.

    Args:
      path: of the file.
      shapes: {name: shape} of its state dict.
      values: name -> float32 array; called once for each, so that a large file needs no memory.
      section: the name of its state dict; None if the file holds nothing else.
      rest: what else the checkpoint holds.
    """
    keys = {name: str(i) for i, name in enumerate(shapes)}
    state = {name: tensor(keys[name], shape) for name, shape in shapes.items()}
    storages = (
        (keys[name], np.ascontiguousarray(values(name), np.float32).tobytes()) for name in shapes
    )
    content = state if section is None else {section: state, **rest}
    return write_archive(path, pickled(content), storages)


def write_arrays(path, arrays, **rest):
    """Writes a Lightning checkpoint of {name: array}, float32, or an array's own type."""
    arrays = {
        name: np.asarray(value, None if getattr(value, "dtype", None) in STORAGES else np.float32)
        for name, value in arrays.items()
    }
    state = {name: tensor(name, value.shape, value.dtype) for name, value in arrays.items()}
    storages = ((name, value.tobytes()) for name, value in arrays.items())
    return write_archive(path, pickled({"state_dict": state, **rest}), storages)


def write_legacy(path, content, **rest):
    """Writes {name: float32 array} and the rest as torch did before its files were zip archives."""
    state = {name: tensor(str(i), value.shape) for i, (name, value) in enumerate(content.items())}
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, machine):
            pickle.dump(part, file, protocol=2)
        pickler = TorchPickler(file, protocol=2)
        pickler.legacy = True
        pickler.dump(collections.OrderedDict(state, **rest))
        pickle.dump([value.storage.key for value in state.values()], file, protocol=2)
        for value in content.values():
            value = np.asarray(value, np.float32)
            file.write(struct.pack("<q", value.size) + value.tobytes())
    return path
