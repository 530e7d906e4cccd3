"""Tensors of a file that `torch.save` wrote, without torch and without running what it holds.

A torch file is a zip archive with a pickle of the object's structure and one uncompressed member
for each storage. A pickle can call whatever it names. The reader here builds dictionaries, lists
and tensors; any other name in the file stands for an inert placeholder, and the attempt to call
it ends the reading. (PyTorch Lightning files name classes without calling them: its callbacks'
states are keyed by the callback's class.)
"""

import collections
import dataclasses
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vpt_gen.errors import UserError

_STORAGE_TYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_LOCAL_HEADER = 30  # bytes of a zip member's own header before its name


@dataclasses.dataclass(frozen=True)
class TorchTensor:
    """A tensor that is still in its file.

    Attributes:
      shape: its shape.
      dtype: its NumPy type.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    _storage: np.memmap
    _offset: int
    _strides: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The values: a view of the memory-mapped file."""
        strides = [step * self.dtype.itemsize for step in self._strides]
        last = sum((n - 1) * step for n, step in zip(self.shape, self._strides, strict=True))
        if min((0, *self._strides)) < 0 or self._offset + last >= max(len(self._storage), 1):
            raise UserError("A tensor reaches beyond its storage: the file is damaged.")
        start = self._storage[self._offset :]
        return np.lib.stride_tricks.as_strided(start, self.shape, strides, writeable=False)


class _Placeholder:
    """Stands for a name of the pickle that reading tensors does not need; never called."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, *unused_arguments):
        raise UserError(f"it would run {self._name}; weights need no code")


@dataclasses.dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype


def _rebuild_tensor(storage, offset, size, stride, *unused):
    return TorchTensor(tuple(size), storage.dtype, storage, offset, tuple(stride))


def _rebuild_parameter(data, *unused):
    return data


_KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, storages):
        super().__init__(file)
        self._storages = storages

    def find_class(self, module, name):
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module == "torch" and name in _STORAGE_TYPES:
            return _StorageType(np.dtype(_STORAGE_TYPES[name]))
        return _Placeholder(f"{module}.{name}")

    def persistent_load(self, identifier):
        kind, storage_type, key, _, count = identifier
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise UserError(f"it holds a storage of unknown kind {kind!r}")
        return self._storages(key, storage_type.dtype, count)


def load(path: pathlib.Path) -> Any:
    """The object that the file holds, its tensors as `TorchTensor`.

    Raises:
      UserError: no torch file, a damaged one, or one that would run code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(pickles) != 1:
                raise UserError("it is a zip archive but no torch file (no data.pkl)")
            root = pickles[0].removesuffix("data.pkl")

            def storage(key, dtype, count):
                return _map_member(path, archive.getinfo(f"{root}data/{key}"), dtype, count)

            with archive.open(pickles[0]) as file:
                return _Unpickler(file, storage).load()
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is no torch file, or an incomplete one (it is no whole zip archive); fetch it "
            "again."
        ) from error
    except (
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise UserError(f"{path} is damaged ({error}); fetch it again.") from error


def _map_member(path, member: zipfile.ZipInfo, dtype, count) -> np.memmap | np.ndarray:
    """The values of an uncompressed member, mapped from the file."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size < count * dtype.itemsize:
        raise UserError(f"its storage {member.filename} is compressed or cut short")
    if count == 0:
        return np.zeros(0, dtype)
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    start = member.header_offset + _LOCAL_HEADER + name_length + extra_length
    return np.memmap(path, dtype, "r", start, (count,))


def tensors(path: pathlib.Path) -> dict[str, TorchTensor]:
    """The named tensors of a checkpoint: those of its `state_dict`, where it has one.

    Raises:
      UserError: see `load`; or no tensors inside.
    """
    content = load(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    found = dict(_named(content)) if isinstance(content, Mapping) else {}
    if not found:
        raise UserError(f"{path} holds no named tensors; is it a checkpoint of weights?")
    return found


def _named(content: Mapping) -> Iterator[tuple[str, TorchTensor]]:
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, TorchTensor):
            yield name, value
