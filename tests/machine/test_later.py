import subprocess
import sys

import pytest

from vpt_gen.machine import later

with later.imports(globals()):
    import colorsys
    import email.mime.text as text
    from fractions import Fraction
    from string import ascii_lowercase, digits
    from textwrap import dedent as without_indent


def test_modules_functions_and_classes_are_what_they_are():
    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert without_indent("  a") == "a"
    assert Fraction(1, 2) == 0.5
    assert text.MIMEText("a").get_payload() == "a"


def test_the_first_use_puts_the_object_in_place():
    Fraction(1, 2)
    assert isinstance(Fraction, type) and isinstance(Fraction(1), Fraction)


def test_sequences_can_be_searched_and_unpacked():
    assert "a" in ascii_lowercase
    assert [*digits][:2] == ["0", "1"]


def test_nothing_is_imported_before():
    code = (
        "import sys; from vpt_gen.machine import later\n"
        "with later.imports(globals()):\n"
        "    import colorsys\n"
        "    from fractions import Fraction\n"
        "names = {'colorsys', 'fractions'}\n"
        "assert not names & set(sys.modules)\n"
        "Fraction(1)\n"
        "assert names & set(sys.modules) == {'fractions'}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_import_that_fails_says_so_when_it_is_used():
    scope = {"imports": later.imports}
    exec("with imports(globals()):\n    from textwrap import no_such_name", scope)
    with pytest.raises(AttributeError, match="no_such_name"):
        scope["no_such_name"]()


def test_a_name_is_no_key_before_it_is_known():
    scope = {"imports": later.imports}
    exec("with imports(globals()):\n    from string import digits", scope)
    with pytest.raises(TypeError):
        {scope["digits"]: 1}
