"""Torch files: what is read, and that nothing else is, least of all code."""

import argparse
import collections
import io
import json
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_ar, torch_files
from tests.memory import allocating_at_most
from tests.torch_files import Storage, Tensor, pickled, write_archive, write_arrays
from vpt_gen.checkpoints.released import torch_file
from vpt_gen.errors import UserError

TEN = np.arange(10, dtype=np.float32)


class Hostile:
    def __reduce__(self):
        return print, ("the pickle ran code",)


class Foreign(dict):
    """As Lightning's AttributeDict: made without a call of its name."""


def write_view(path, *view, count=10, **options):
    """A file of the one tensor 'a', a view of the numbers 0..9."""
    content = {"a": Tensor(Storage("0", count), *view, **options)}
    return write_archive(path, pickled(content), [("0", TEN.tobytes())])


def write_pickle(path, code):
    """A file whose pickle maps the values and keys of `code` to an honest tensor 'a'."""
    honest = pickled({"a": torch_files.tensor("0", (10,))})[:-1]
    return write_archive(path, honest + code + b"s.", [("0", TEN.tobytes())])


def test_tensors_of_a_torch_file(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = write_arrays(tmp_path / "a.ckpt", {"a": values, "b": np.float32(7)}, epoch=3)
    tensors = torch_file.tensors(path)
    assert set(tensors) == {"a", "b"}
    np.testing.assert_array_equal(tensors["a"].read(), values)
    assert tensors["b"].shape == ()


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.int64])
def test_other_types_of_numbers(tmp_path, dtype):
    values = np.array([0.5, -3, 128]).astype(dtype)
    tensor = torch_file.tensors(write_arrays(tmp_path / "a", {"a": values}))["a"]
    assert tensor.dtype == values.dtype
    np.testing.assert_array_equal(tensor.read(), values)


def test_a_type_that_is_not_read_is_named(tmp_path):
    path = write_arrays(tmp_path / "a", {"a": np.zeros(2, np.complex64)})
    with pytest.raises(UserError, match=r"torch\.ComplexFloatStorage, which is not supported"):
        torch_file.tensors(path)


def test_views_that_share_a_storage(tmp_path):
    storage = Storage("0", 10)
    content = {
        "rows": Tensor(storage, (2, 5)),
        "columns": Tensor(storage, (3, 2), 1, (1, 3)),
        "one": Tensor(storage, (1, 1), 9, (2**61, 7)),
        "none": Tensor(storage, (0, 4)),
    }
    tensors = torch_file.tensors(
        write_archive(tmp_path / "a", pickled(content), [("0", TEN.tobytes())])
    )
    np.testing.assert_array_equal(tensors["rows"].read(), TEN.reshape(2, 5))
    np.testing.assert_array_equal(tensors["columns"].read(), [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(tensors["one"].read(), [[9]])
    assert tensors["none"].read().shape == (0, 4)


@pytest.mark.parametrize(
    "view",
    [
        ((10,), -5),
        ((10,), 1),
        ((10,), 9, (-1,)),
        ((-3,), 0, (1,)),
        ((2, 5), 0, (1,)),
        ((2**40,), 0, (0,)),
        ((11,), 0, (0,)),
        ((3,), 0, (2**63,)),
        ((1,) * 65,),
        ((2.0,), 0, (1,)),
        ("ab", 0, (1, 1)),
        ((2,), "z"),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, view):
    shape, offset, strides = (*view, 0, None)[:3] if len(view) < 3 else view
    strides = strides or (1,) * len(shape)
    with pytest.raises(UserError, match="reaches beyond its storage"):
        torch_file.tensors(write_view(tmp_path / "a", shape, offset, strides))


def test_a_tensor_of_nothing_holds_nothing(tmp_path):
    with pytest.raises(UserError, match="reaches beyond its storage"):
        torch_file.tensors(write_view(tmp_path / "a", (1,), count=0))


@pytest.mark.parametrize("count", [-5, 11, 2**50])
def test_a_storage_beyond_its_member_is_refused(tmp_path, count):
    with pytest.raises(UserError, match=r"cut short|storage of"):
        torch_file.tensors(write_view(tmp_path / "a", (2,), count=count))


@pytest.mark.parametrize("state", [{"shape": (99,)}, (None, {"offset": -8})])
def test_a_tensor_cannot_be_changed_by_the_pickle(tmp_path, state):
    with pytest.raises(UserError, match="changes an object that it made"):
        torch_file.tensors(write_view(tmp_path / "a", (2,), state=state))


def test_code_in_a_pickle_is_not_run(tmp_path, capsys):
    path = write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(2)}, callbacks=Hostile())
    with pytest.raises(UserError, match=r"a\.ckpt cannot be read: it would run .*print"):
        torch_file.tensors(path)
    assert "ran code" not in capsys.readouterr().out


def test_arguments_of_a_training_program_hold_nothing(tmp_path):
    arguments = argparse.Namespace(image_size=256, nested=argparse.Namespace(a=[1]))
    path = write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(2)}, args=arguments)
    read = torch_file.load(path)["args"]
    assert type(read) is not argparse.Namespace
    assert vars(read) == {}


def test_an_instance_of_a_foreign_class_is_named(tmp_path):
    path = write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(2)}, hyper_parameters=Foreign(x=1))
    with pytest.raises(UserError, match=r"it would run .*Foreign; weights need no code"):
        torch_file.tensors(path)


def test_classes_that_are_only_named_and_plain_containers_do_no_harm(tmp_path):
    containers = collections.defaultdict(list, x=[1])
    rest = {"callbacks": {io.BytesIO: 1}, "hyper_parameters": containers}
    path = write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(2)}, **rest)
    assert set(torch_file.tensors(path)) == {"a"}
    size = b"X\x01\x00\x00\x00bctorch\nSize\n(K\x02K\x03t\x85R"
    assert set(torch_file.tensors(write_pickle(tmp_path / "b", size))) == {"a"}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b")" + b"\x85" * 20_000 + b"K\x01", "nests more than"),
        (b")" + b"2\x86" * 40 + b"K\x01", "nests more than"),
        # Tuples that a change in place of nothing, or a place in the memo, would hide.
        (b")" + b"(e\x85" * 20_000 + b"K\x01", "nests more than"),
        (b")" + b"Nb\x85" * 20_000 + b"K\x01", "nests more than"),
        (b")" + b"\x85q\x090h\x09" * 20_000 + b"K\x01", "nests more than"),
        (b"Nr\xff\xff\xff\xffN", "memo is larger than the file"),
        (b"\x8e" + struct.pack("<Q", 5 << 30), "is damaged"),
        (b"]K\x01", "is damaged"),
        (b"\x94\x94\x94", "is damaged"),
    ],
)
def test_pickles_that_would_crash_their_reader(tmp_path, code, message):
    with pytest.raises(UserError, match=message):
        torch_file.tensors(write_pickle(tmp_path / "a", code))


OPEN_KNOWN = {
    name: f"c{name.replace(' ', chr(10))}\n".encode()
    for name in (
        "torch Size",
        "collections OrderedDict",
        "collections defaultdict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch FloatStorage",
        "argparse Namespace",
    )
}
# Lists of two lists of two lists ...: 2**40 items, if somebody wrote them out.
DEEP = b"]" + b"2(h\x0ah\x0ae".join([b"q\x0a0]"] * 41)
KEY = b"X\x01\x00\x00\x00b"


def called(name, argument, times):
    """A pickle's list of results: a known name called again and again with one argument."""
    calls = b"h\x08h\x09\x85R" * times
    return OPEN_KNOWN[name] + b"q\x080" + argument + b"q\x090(" + calls + b"l"


def test_a_long_list_is_not_copied_once_per_call(tmp_path):
    code = called("torch Size", b"](" + b"N" * 20_000 + b"e", 5000)
    path = write_pickle(tmp_path / "a", KEY + code)
    with allocating_at_most(100 * path.stat().st_size), pytest.raises(UserError):
        torch_file.tensors(path)


def test_a_list_of_items_is_not_copied_once_per_call(tmp_path):
    items = b"".join(b"](" + word(f"{i}") + b"Ne" for i in range(1000))
    code = called("collections OrderedDict", b"](" + items + b"e", 1000)
    path = write_pickle(tmp_path / "a", KEY + code)
    with allocating_at_most(100 * path.stat().st_size):
        torch_file.tensors(path)


def test_items_that_python_2_wrote_are_read(tmp_path):
    pairs = OPEN_KNOWN["collections OrderedDict"] + b"](](" + KEY + b"K\x07ee\x85R"
    path = write_pickle(tmp_path / "a", KEY + pairs)
    assert torch_file.load(path)["b"] == {"b": 7}


@pytest.mark.parametrize("name", OPEN_KNOWN)
@pytest.mark.parametrize("state", [b"}" + KEY + b"K\x01s", b"N}" + KEY + b"K\x01s\x86"])
def test_what_a_pickle_names_cannot_be_changed(tmp_path, name, state):
    honest = write_view(tmp_path / "honest", (10,))
    path = write_pickle(tmp_path / "a", KEY + OPEN_KNOWN[name] + state + b"b")
    with pytest.raises(UserError):
        torch_file.tensors(path)
    np.testing.assert_array_equal(torch_file.tensors(honest)["a"].read(), TEN)
    assert not hasattr(collections.OrderedDict, "b")


def test_slot_state_cannot_replace_how_tensors_are_made(tmp_path):
    honest = write_view(tmp_path / "honest", (10,))
    for attribute in (b"__defaults__", b"__code__", b"call", b"__doc__"):
        state = b"N}X" + struct.pack("<I", len(attribute)) + attribute + b"(K\x01ts\x86b"
        rebuild = OPEN_KNOWN["torch._utils _rebuild_tensor_v2"]
        with pytest.raises(UserError, match="changes an object"):
            torch_file.tensors(write_pickle(tmp_path / "a", KEY + rebuild + state))
    np.testing.assert_array_equal(torch_file.tensors(honest)["a"].read(), TEN)


def test_a_state_dict_may_have_attributes(tmp_path):
    state = b"}X\x09\x00\x00\x00_metadata}sb"
    made = OPEN_KNOWN["collections OrderedDict"] + b")R" + state
    assert torch_file.load(write_pickle(tmp_path / "a", KEY + made))["b"] == {}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        # The key of many dictionaries is hashed for each of them.
        (b"(" + b"N" * 5000 + b"tq\x090" + b"}h\x09Ns0" * 5000 + b"N", "keys that are no names"),
        (b"(" + b"N" * 5000 + b"tq\x090\x8f(" + b"h\x09" * 9 + b"\x90", "keys that are no names"),
        (b"(" + b"N" * 5000 + b"tq\x090(" + b"h\x09" * 9 + b"\x91", "nests more than"),
        # All have the hash 0.
        (
            b"}("
            + b"".join(
                b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N"
                for i in range(1, 20_000)
            )
            + b"u",
            "keys that are no names",
        ),
        (b"(" + b"".join(b"cm\nn%d\n" % i for i in range(3000)) + b"l", "names more than"),
        (b"(" + b"N" * 20_000 + b"t", "nests more than"),
    ],
)
def test_work_that_grows_faster_than_a_file_is_refused(tmp_path, code, message):
    with pytest.raises(UserError, match=message):
        torch_file.tensors(write_pickle(tmp_path / "a", KEY + code))


def test_no_message_writes_out_what_a_pickle_holds(tmp_path):
    storage = OPEN_KNOWN["torch FloatStorage"]
    identifiers = [
        b"(" + word("storage") + storage + word("0") + word("cpu") + DEEP + b"tQ",
        b"(" + word("storage") + storage + DEEP + word("cpu") + b"K\x0atQ",
        b"(" + DEEP + storage + word("0") + word("cpu") + b"K\x0atQ",
        b"(" + word("storage") + DEEP + word("0") + word("cpu") + b"K\x0atQ",
        b"c" + b"x" * 10_000 + b"\ny\n)R",
    ]
    for code in identifiers:
        with pytest.raises(UserError) as refused:
            torch_file.tensors(write_pickle(tmp_path / "a", KEY + code))
        assert len(str(refused.value)) < 500


def word(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def test_tensors_that_share_a_storage_are_not_read_without_limit(tmp_path):
    storage = Storage("0", 10_000)
    values = [("0", np.zeros(10_000, np.float32).tobytes())]
    for count in (2, 100):
        content = {f"a{i}": Tensor(storage, (10_000,)) for i in range(count)}
        path = write_archive(tmp_path / "a", pickled(content), values)
        if count == 2:
            assert len(torch_file.tensors(path)) == 2
        else:
            with pytest.raises(UserError, match="share storages"):
                torch_file.tensors(path)


def test_members_that_declare_more_than_the_file_are_not_allocated(tmp_path):
    path = write_view(tmp_path / "a", (10,))
    content = bytearray(path.read_bytes())
    central = content.find(b"PK\x01\x02")
    content[central + 20 : central + 28] = struct.pack("<II", 2**25, 2**25)
    path.write_bytes(content)
    with allocating_at_most(2**20), pytest.raises(UserError, match="too large"):
        torch_file.tensors(path)


def test_cut_and_foreign_files_are_named(tmp_path):
    whole = write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(20)}).read_bytes()
    cut = tmp_path / "cut.ckpt"
    for length in range(0, len(whole), 11):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.ckpt is not a torch file, or is incomplete"):
            torch_file.tensors(cut)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(UserError, match=r"no data\.pkl"):
        torch_file.tensors(other)
    with pytest.raises(UserError, match="Is a directory"):
        torch_file.tensors(tmp_path)


def test_a_safetensors_file_is_named(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(UserError, match="is a safetensors file, which only diffusers_vqgan"):
        torch_file.tensors(path)


def test_bytes_in_the_other_order_are_refused(tmp_path):
    content = pickled({"a": torch_files.tensor("0", (10,))})
    for order, matches in ((b"little", True), (b"big", False)):
        values = TEN if matches else TEN.astype(">f4")
        path = write_archive(tmp_path / "a", content, [("0", values.tobytes())], byteorder=order)
        if matches:
            np.testing.assert_array_equal(torch_file.tensors(path)["a"].read(), TEN)
        else:
            with pytest.raises(UserError, match="big-endian"):
                torch_file.tensors(path)


def test_compressed_and_encrypted_archives_are_refused(tmp_path):
    path = write_view(tmp_path / "a", (10,))
    content = bytearray(path.read_bytes())
    central = content.find(b"PK\x01\x02")
    encrypted = bytearray(content)
    encrypted[6] |= 1
    encrypted[central + 8] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(UserError, match="encrypted"):
        torch_file.tensors(path)
    for method in (8, 99):
        content[central + 10] = method
        path.write_bytes(content)
        with pytest.raises(UserError, match="compressed or too large"):
            torch_file.tensors(path)


def test_files_from_before_2020(tmp_path):
    arrays = {"a": TEN.reshape(2, 5), "b": np.float32([7])}
    path = torch_files.write_legacy(tmp_path / "a.pth", arrays)
    tensors = torch_file.tensors(path)
    for name, values in arrays.items():
        np.testing.assert_array_equal(tensors[name].read(), values)
    whole = path.read_bytes()
    for length in range(20, len(whole), 11):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            torch_file.tensors(path)
    keys = pickle.dumps(["0", "1"], 2)
    path.write_bytes(whole.replace(keys, pickle.dumps(["0"], 2)))
    with pytest.raises(UserError, match="lacks storages"):
        torch_file.tensors(path)


@golden_ar.needed
def test_a_lightning_file_of_a_gpu():
    tensors = torch_file.tensors(golden_ar.file("pl_layout_small.ckpt"))
    with np.load(golden_ar.file("pl_layout_small.npz")) as expected:
        assert set(tensors) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(tensors[name].read(), values)
