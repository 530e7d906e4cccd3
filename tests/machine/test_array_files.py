"""NumPy's files: read as they are, and what a small file cannot ask for."""

import io
import struct
import zipfile

import numpy as np
import pytest

from tests.memory import allocating_at_most
from vpt_gen.checkpoints.perceptual import load_perceptual
from vpt_gen.data.arrays import open_npz as open_data
from vpt_gen.errors import UserError
from vpt_gen.machine import array_files
from vpt_gen.runs.conditions import marquee_weights

ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3),
    "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["cat", "dog"]),
    "none": np.zeros((0, 4), np.uint8),
    "one": np.float32(7),
}


def header(shape, dtype="|u1"):
    """The start of a .npy file that declares a shape."""
    file = io.BytesIO()
    about = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def bomb(path, num_bytes=2**29, method=zipfile.ZIP_DEFLATED, names=("images",)):
    """An .npz of so many zeros, written piece by piece."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name in names:
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(header((num_bytes,)))
                for _ in range(num_bytes >> 20):
                    member.write(bytes(2**20))
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_are(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    stored = array_files.open_npz(tmp_path / "a.npz")
    assert {name: (x.shape, x.dtype) for name, x in stored.items()} == {
        name: (x.shape, x.dtype) for name, x in ARRAYS.items()
    }
    for name, array in array_files.read_npz(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype


def test_a_file_of_a_single_array(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS["a"])
    np.testing.assert_array_equal(array_files.open_npy(tmp_path / "a.npy").read(), ARRAYS["a"])


def test_one_color_may_compress_a_thousandfold_up_to_a_hundred_megabytes(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", white=np.full((100, 64, 64, 3), 255, np.uint8))
    assert array_files.read_npz(tmp_path / "a.npz")["white"].min() == 255


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        header((2**40,)),
        header((2**40, 2)) + bytes(8),
        header((2**40,), "|V0"),
        header((2**40,), "<U0"),
        header((3,)) + bytes(2),
        header((-1, -2)) + bytes(2),
        header((1,), "|O") + bytes(8),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1),
        b"\x93NUMPY\x01\x00\x00\x04" + b"(" * 1024,
    ],
)
def test_a_header_that_declares_what_is_not_there(tmp_path, content):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with allocating_at_most(2**22):
        with pytest.raises(array_files.DamagedError):
            array_files.open_npy(path)
        with pytest.raises(UserError, match=r"--marquee=.*a\.npy"):
            marquee_weights(str(path), 3, 2, 6.0)
        archive(tmp_path / "a.npz", dict.fromkeys(("images", "labels", "class_names"), content))
        with pytest.raises(UserError, match=r"a\.npz is not a readable \.npz"):
            open_data(str(tmp_path / "a.npz"))


def test_a_marquee_of_many_rows_is_refused_before_they_are_read(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(header((2**33, 2), "<f4"))
    with open(path, "r+b") as file:  # The rows are a hole that takes no space on the disk.
        file.truncate(len(header((2**33, 2), "<f4")) + 2**36)
    with allocating_at_most(2**20), pytest.raises(UserError, match="must be .* = \\(3, 2\\)"):
        marquee_weights(str(path), 3, 2, 6.0)


@pytest.mark.slow
def test_a_small_file_that_becomes_large(tmp_path):
    path = bomb(tmp_path / "a.npz")
    assert path.stat().st_size < 2**20
    with allocating_at_most(2**22):
        with pytest.raises(UserError, match=r"would become 536,871,040; .* numpy\.savez"):
            open_data(str(path))
        with pytest.raises(UserError, match="cannot be read"):
            load_perceptual(path)


@pytest.mark.slow
def test_weights_of_another_net_are_refused_by_their_shapes(tmp_path):
    path = bomb(tmp_path / "a.npz", 2**26, names=["features.0.weight"])
    with allocating_at_most(2**24), pytest.raises(UserError, match="does not hold the net it"):
        load_perceptual(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_use(tmp_path, method):
    path = bomb(tmp_path / "a.npz", 2**24, method)
    with allocating_at_most(2**20), pytest.raises(UserError, match="a way that NumPy does not"):
        open_data(str(path))


def test_members_that_share_their_bytes(tmp_path):
    path = archive(tmp_path / "a.npz", {f"a{i}": header((3000,)) + bytes(3000) for i in range(9)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as file:
        first, *rest = file.infolist()
        for member in rest:
            member.header_offset = first.header_offset
            member.compress_type = zipfile.ZIP_STORED
            member.file_size = member.compress_size = 2**16
        file._didModify = True
    with pytest.raises(array_files.DamagedError):
        array_files.open_npz(path)
