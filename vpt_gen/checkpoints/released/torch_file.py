"""Reads tensors from a file of `torch.save`, without torch and without running code in the file.

A torch file is a zip archive with a pickle of the object's structure and one uncompressed member
for each storage; before torch 1.6 (2020) it was a sequence of pickles followed by the storages. A
pickle can call anything it names. This reader builds dictionaries, lists and tensors: for the five
names that these need, a pickle gets stand-ins, which it cannot change and which do little work per
call. The arguments of a training program (`argparse.Namespace`) become an object that holds
nothing. Any other name in the file becomes an inert placeholder, and calling it is an error.
(PyTorch Lightning files name classes without calling them: the states of callbacks are keyed by the
callback's class.) Memory and time are bounded by a multiple of the file's size.

The archive's checksums are not compared, as torch does not always write them; a published file is
compared as a whole when it is fetched.
"""

import dataclasses
import io
import math
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

from vpt_gen.checkpoints.released import pickle_scan
from vpt_gen.checkpoints.released.pickle_scan import Fixed, StandIn
from vpt_gen.errors import UserError

_DTYPES = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": jnp.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool_,
}
_LOCAL_HEADER = 30  # bytes of a zip member's own header before its name
# Start of a file of the older format: the pickle of a magic number.
_LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LARGEST_TENSOR = 2**40  # numbers
_MOST_AXES = 32
# Placeholders of a file; each takes a kilobyte.
_MOST_NAMES = 1000
# Bytes of all tensors per byte of the file: some share a storage, such as tied embeddings.
_MOST_SHARED = 4
_LONGEST_SHOWN = 100  # characters of the pickle's own in a message


class _Placeholder(Fixed):
    """Placeholder for a name of the pickle that tensors do not need; never called.

    Each name gets its own class, because a pickle can ask for an instance in two ways.
    """

    name: str

    def __new__(cls, *unused_arguments, **unused_keywords):
        raise UserError(f"it would run {_shown(cls.name)}; weights need no code")


def _shown(value: Any) -> str:
    """A value of the pickle in a message: containers can be of any length when written out."""
    return str(value)[:_LONGEST_SHOWN] if isinstance(value, str | int) else type(value).__name__


@dataclasses.dataclass(eq=False)
class _Storage(Fixed):
    """Numbers in the file; `start` is the first byte, which the older format tells late."""

    path: pathlib.Path
    dtype: np.dtype
    count: int
    start: int = 0

    def __post_init__(self):
        if type(self.count) is not int or not 0 <= self.count < _LARGEST_TENSOR:
            raise UserError(f"it holds a storage of {_shown(self.count)} numbers")

    @property
    def num_bytes(self) -> int:
        return self.count * self.dtype.itemsize

    def map(self) -> np.ndarray:
        if not self.count:  # An empty storage cannot be memory-mapped.
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.start, (self.count,))


@dataclasses.dataclass(frozen=True, eq=False)
class TorchTensor(Fixed):
    """A tensor that has not been read yet.

    Attributes:
      storage: holds its numbers.
      offset: its first number in the storage.
      shape: its shape.
      strides: steps along each axis, in numbers.

    Raises:
      UserError: the tensor would reach beyond its storage.
    """

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self):
        numbers = (self.offset, *self.shape, *self.strides)
        if (
            not isinstance(self.storage, _Storage)
            or not all(type(number) is int and 0 <= number < 2**62 for number in numbers)
            or not len(self.shape) == len(self.strides) <= _MOST_AXES
            or math.prod(max(n, 1) for n in self.shape) > _LARGEST_TENSOR
            or self._end() > self.storage.count
            or math.prod(self.shape) > self.storage.count
        ):
            raise UserError("a tensor reaches beyond its storage: the file is damaged")

    def _end(self) -> int:
        """Position after the last number."""
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((n - 1) * step for n, step in steps) + 1

    @property
    def dtype(self) -> np.dtype:
        """NumPy's type of its numbers."""
        return self.storage.dtype

    def read(self) -> np.ndarray:
        """The values: a view of the memory-mapped file."""
        if 0 in self.shape:
            return np.zeros(self.shape, self.dtype)
        # An axis of length 1 may have any stride.
        steps = [step if n > 1 else 0 for n, step in zip(self.shape, self.strides, strict=True)]
        size = self.dtype.itemsize
        return np.ndarray(
            self.shape,
            self.dtype,
            self.storage.map(),
            self.offset * size,
            [step * size for step in steps],
        )


class _OrderedDict(dict):
    """Ordered like any dictionary; torch stores versions of modules as attributes of it."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


def _ordered_dict(pairs: Any = None) -> _OrderedDict:
    """Python 2 wrote the items as a list. It is emptied, so that no list is read twice."""
    made = _OrderedDict()
    if pairs is None:
        return made
    if type(pairs) is not list:
        raise UserError("it makes a dictionary of something else than a list of pairs")
    for name, value in pairs:
        if not isinstance(name, str):
            raise UserError("it makes a dictionary with keys that are no names")
        made[name] = value
    pairs.clear()
    return made


class _Namespace(Fixed):
    """Stands for the arguments of a training program, which are not read.

    A class, because pickles of protocol 2 make an instance without a call.
    """

    def __new__(cls, *unused_arguments, **unused_keywords):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass


def _size(numbers: Any = ()) -> tuple:
    if not isinstance(numbers, tuple | list) or len(numbers) > _MOST_AXES:
        raise UserError("a tensor reaches beyond its storage: the file is damaged")
    return tuple(numbers)


def _rebuild_tensor(storage, offset, size, stride, *unused):
    return TorchTensor(storage, offset, _size(size), _size(stride))


def _rebuild_parameter(data, *unused):
    if not isinstance(data, TorchTensor):
        raise UserError("it holds a parameter that is not a tensor")
    return data


def _default_dict(*unused):
    return {}


_KNOWN = {
    "collections.OrderedDict": StandIn(_ordered_dict),
    "collections.defaultdict": StandIn(_default_dict),
    "argparse.Namespace": _Namespace,
    "torch.Size": StandIn(_size),
    "torch._utils._rebuild_tensor_v2": StandIn(_rebuild_tensor),
    "torch._utils._rebuild_parameter": StandIn(_rebuild_parameter),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, storages):
        super().__init__(file)
        self._storages = storages
        self._named: dict[str, Any] = dict(_KNOWN)

    def find_class(self, module, name):
        name = f"{module}.{name}"
        if name not in self._named:
            if len(self._named) > _MOST_NAMES:
                raise UserError(f"it names more than {_MOST_NAMES} functions and classes")
            self._named[name] = type("Placeholder", (_Placeholder,), {"name": name})
        return self._named[name]

    def persistent_load(self, identifier):
        # The older format has a sixth entry, for storages that are parts of others.
        kind, storage_type, key, _, count, *part = identifier
        name = getattr(storage_type, "name", storage_type)
        if not all(isinstance(text, str) for text in (kind, name, key)):
            raise UserError("it holds a storage without a name")
        if kind != "storage" or name not in _DTYPES or any(part):
            what = f"{_shown(kind)!r} of type {_shown(name)}"
            raise UserError(f"it holds a {what}, which is not supported")
        return self._storages(key, np.dtype(_DTYPES[name]), count)


def _unpickle(file: BinaryIO, storages) -> Any:
    """Loads the pickle at the file's position; `storages` makes a storage of key, type, count."""
    start = file.tell()
    pickle_scan.check(file)
    file.seek(start)
    return _Unpickler(file, storages).load()


def load(path: pathlib.Path) -> Any:
    """Returns the object in the file, its tensors as `TorchTensor`.

    Raises:
      UserError: not a torch file, a damaged one, or one that would run code.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LEGACY_START))
            if start == _LEGACY_START:
                return _load_legacy(file)
        if start[8:10] == b'{"':
            raise UserError("it is a safetensors file, which only diffusers_vqgan and titok can be")
        return _load_zip(path)
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is not a torch file, or is incomplete (not a whole zip archive); fetch it "
            "again."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    # Foreign files can cause any error of the unpickler, the archive and NumPy.
    except Exception as error:
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{path} is damaged ({reason}); fetch it again.") from error


def _load_zip(path: pathlib.Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise UserError("it is a zip archive but not a torch file (no data.pkl)")
        root = pickles[0].removesuffix("data.pkl")
        order = members.get(f"{root}byteorder")
        if order and _small_member(archive, order) != b"little":
            raise UserError("it was made on a big-endian machine")

        def storage(key, dtype, count):
            member = members[f"{root}data/{key}"]
            made = _Storage(path, dtype, count)
            if member.compress_type != zipfile.ZIP_STORED or member.file_size < made.num_bytes:
                raise UserError(f"its storage {member.filename} is compressed or cut short")
            _place(made, _first_byte(path, member))
            return made

        return _unpickle(io.BytesIO(_small_member(archive, members[pickles[0]])), storage)


def _small_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    largest = min(pickle_scan.LARGEST, pathlib.Path(str(archive.filename)).stat().st_size)
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > largest:
        raise UserError(f"its {member.filename} is compressed or too large")
    return archive.read(member)


def _first_byte(path: pathlib.Path, member: zipfile.ZipInfo) -> int:
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return member.header_offset + _LOCAL_HEADER + name_length + extra_length


def _place(storage: _Storage, start: int) -> None:
    """Sets where a storage begins."""
    if start + storage.num_bytes > storage.path.stat().st_size:
        raise UserError("a storage reaches beyond its end; fetch it again")
    storage.start = start


def _load_legacy(file: BinaryIO) -> Any:
    """Reads what follows the magic number: version, machine, object, keys, storages."""
    storages: dict[str, _Storage] = {}

    def storage(key, dtype, count):
        made = storages.setdefault(key, _Storage(pathlib.Path(file.name), dtype, count))
        if (made.dtype, made.count) != (dtype, count):
            raise UserError(f"its storage {_shown(key)} has two types or lengths")
        return made

    version, machine = _unpickle(file, storage), _unpickle(file, storage)
    if version != 1001 or not machine["little_endian"]:
        raise UserError("it is of another version, or made on a big-endian machine")
    content, keys = _unpickle(file, storage), _unpickle(file, storage)
    if not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise UserError("it lacks storages of its tensors")
    place = file.tell()
    for key in keys:
        file.seek(place)
        if struct.unpack("<q", file.read(8)) != (storages[key].count,):
            raise UserError(f"its storage {_shown(key)} has another length than it should")
        _place(storages[key], place + 8)
        place += 8 + storages[key].num_bytes
    return content


def tensors(
    path: pathlib.Path, sections: Sequence[str] = ("state_dict",)
) -> dict[str, TorchTensor]:
    """Returns the named tensors of a checkpoint.

    Args:
      path: the file.
      sections: names of its parts that may hold them; the first that exists does. If none does, the
        whole file is one.

    Raises:
      UserError: see `load`; or no tensors inside.
    """
    content = load(path)
    if isinstance(content, Mapping):
        parts = (content[name] for name in sections if isinstance(content.get(name), Mapping))
        content = next(parts, content)
    found = dict(_named(content)) if isinstance(content, Mapping) else {}
    if not found:
        raise UserError(f"{path} holds no named tensors; is it a checkpoint of weights?")
    num_bytes = sum(math.prod(x.shape) * x.dtype.itemsize for x in found.values())
    if num_bytes > _MOST_SHARED * path.stat().st_size:
        raise UserError(
            f"{path} is damaged: its tensors share storages, and read one by one they would take "
            f"{num_bytes:,} bytes; fetch it again."
        )
    return found


def _named(content: Mapping) -> Iterator[tuple[str, TorchTensor]]:
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, TorchTensor):
            yield name, value
