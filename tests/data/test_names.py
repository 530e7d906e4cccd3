"""Which class names are the same, and which one is near."""

import pytest

from vpt_gen.data.names import alike, check_distinct, nearest
from vpt_gen.errors import UserError


def test_names_are_alike_if_they_look_the_same():
    assert alike(["caf\xe9", "7"], ["cafe\u0301", 7])
    assert not alike(["a", "b"], ["b", "a"])
    assert not alike(["a"], ["A"])


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("Cats", "cats"), ("seven", "."), ("3", "003"), ("dogs ", "dogs"), ("\uff43ats", "cats")],
)
def test_the_nearest_name(wanted, near):
    expected = near if near == "." else f"; did you mean {near!r}?"
    assert nearest(wanted, ["cats", "dogs", "003"]) == expected


def test_equal_names_are_refused():
    check_distinct(("a", "A", "b"), "x")
    with pytest.raises(UserError, match="x has two classes called 'a': rename one"):
        check_distinct(("a", "b", "a"), "x")
    with pytest.raises(UserError, match=r"'e\\u0301' and '\\xe9'"):
        check_distinct(("e\u0301", "\xe9"), "x")
