"""JSON files: what is not the object that a program wrote is one sentence with the cure."""

import pytest

from tests import damage
from vpt_gen.errors import UserError
from vpt_gen.machine.json_files import is_kind, read_object, read_value

KINDS = {"a": dict, "a.b": float, "c": (str, type(None))}
GOOD = b'{"a": {"b": 2}, "c": null}'


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(GOOD)
    return path


def test_a_whole_file_is_read(path):
    assert read_object(path, "mend it", KINDS) == {"a": {"b": 2}, "c": None}


@pytest.mark.parametrize("kind", damage.JSON)
def test_damage_is_named_with_its_cure(path, kind):
    damage.apply(path, damage.JSON[kind])
    with pytest.raises(UserError) as error:
        read_object(path, "mend it", KINDS)
    damage.assert_sentence(error, f"{path} is damaged (", "); mend it.")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"c": ""}', "without a"),
        ('{"a": {}, "c": ""}', "without a.b"),
        ('{"a": [], "c": ""}', "a is a list instead of an object"),
        ('{"a": {"b": true}, "c": ""}', "a.b is true or false instead of a number"),
        ('{"a": {"b": 1.5}, "c": 3}', "c is a number instead of text or null"),
        ('{"a": {"b": 1, "b": 2}, "c": null}', "not JSON: a key appears twice"),
        ("", "empty"),
        ('"x"', "text instead of an object"),
        ("1" * 5000, "not JSON: Exceeds the limit"),
    ],
)
def test_what_is_wrong_is_said(path, content, fault):
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_object(path, "mend it", KINDS)
    damage.assert_sentence(error, f"({fault}")


def test_a_missing_file_and_a_folder_in_its_place_are_named(path):
    path.unlink()
    for _ in range(2):
        with pytest.raises(UserError, match=r"x\.json is missing; mend it\."):
            read_object(path, "mend it")
        path.mkdir(exist_ok=True)


def test_any_value_may_be_read(path):
    path.write_text("1.5")
    assert read_value(path, "mend it") == 1.5


def test_truth_is_no_number():
    assert is_kind(1, float) and is_kind(1, int) and is_kind(True, bool)
    assert not is_kind(True, (int, float)) and not is_kind(1.5, int)
