"""What names of files, classes and flags cannot do to a terminal."""

import io
import sys

import pytest

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, progress
from vpt_gen.machine.printable import escaping, one_line, printable

HOSTILE = "\x1b]0;title\x07\x1b[2J\r\x08\x7f\x9b31m\u2028\u202e\udcff"


def is_harmless(text):
    return not set(text) & set(HOSTILE) - set("0;titleJ231m[]")


@pytest.mark.parametrize(
    "text",
    ["", "plain", "café 蓝 é", "a\u00a0b\u3000c", "سلام\u200cها", "👩\u200d🎨 ☀\ufe0f", "a\tb"],
)
def test_text_of_any_language_stays_as_it_is(text):
    assert printable(text) == one_line(text) == text


def test_controls_are_escaped():
    assert printable("a\x1b[31mb") == "a\\x1b[31mb"
    assert printable("a\x9bb\u202ec\udcffd") == "a\\x9bb\\u202ec\\udcffd"
    assert is_harmless(printable(HOSTILE)) and printable(HOSTILE).isprintable()
    assert (printable("a\nb"), one_line("a\nb")) == ("a\nb", "a\\nb")


def fail_with(error):
    raise error


def test_errors_are_printable_and_one_line(capsys):
    def run():
        raise UserError(f"Class {HOSTILE}\nerror: another")

    assert cli.exit_code(run) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Class \\x1b]0;title") and said.count("\n") == 1
    assert is_harmless(said.rstrip("\n"))


def test_an_error_that_holds_a_whole_file_is_cut(capsys):
    assert cli.exit_code(lambda: fail_with(UserError("x" * 10**6))) == 2
    assert len(capsys.readouterr().err) < 10**4


def test_tracebacks_are_printable(capsys):
    with pytest.raises(SystemExit) as ended:
        distributed.leave_after(lambda: fail_with(ValueError(HOSTILE)))
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "ValueError: \\x1b]0;title" in said and is_harmless(said)


def test_lines_and_bars_are_printable(capsys):
    progress.say(f"Classes: {HOSTILE}\nnext")
    said = capsys.readouterr().out
    assert is_harmless(said) and said.count("\n") == 2
    with progress.track(total=1, label=f"checking \x1b[2J{HOSTILE}") as bar:
        assert is_harmless(bar.desc) and "\x1b" not in bar.desc


def test_an_encoding_without_a_letter_is_no_error(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    escaping(stream)
    monkeypatch.setattr(sys, "stdout", stream)
    progress.say("é 蓝")
    assert stream.buffer.getvalue() == b"\xe9 \\u84dd\n"
