"""Arrays kept between runs: damage of any kind is told, and they are made again."""

import io

import numpy as np
import pytest

from tests import damage
from vpt_gen.machine import kept_arrays


def other_type(content):
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


DAMAGES = {
    **damage.ANY,
    "text": lambda content: b"x" * len(content),
    "an array alone": other_type,
    "pickled": lambda content: b"\x80\x04." + content,
}


def load(path):
    return kept_arrays.load(path, "findings", lambda arrays: arrays["x"].tolist())


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def path(request, tmp_path):
    path = tmp_path / "kept.npz"
    kept_arrays.save(path, {"x": np.arange(50)}, "Cannot keep", compressed=request.param)
    return path


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_told(path, kind, capsys):
    assert load(path) == list(range(50))
    damage.apply(path, DAMAGES[kind])
    assert load(path) is None
    said = capsys.readouterr().out
    assert said.startswith(f"The findings {path} are damaged (") and said.count("\n") == 1


def test_no_flipped_bit_is_read(path):
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 31):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        assert load(path) in (None, list(range(50)))


def test_missing_arrays_are_damage_and_a_missing_file_is_none(tmp_path, capsys):
    path = tmp_path / "kept.npz"
    assert load(path) is None
    assert not capsys.readouterr().out
    kept_arrays.save(path, {"y": np.arange(3)}, "Cannot keep")
    assert load(path) is None
    assert "are damaged ('x')" in capsys.readouterr().out


def test_what_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    kept_arrays.save(tmp_path / "file" / "kept.npz", {"x": np.arange(3)}, "Cannot keep them")
    assert capsys.readouterr().out.startswith("Cannot keep them: ")
