"""What holds after every start of a program, however it ended."""

import re
import signal

from tests.chaos import programs

# 2: what a user can fix; 128 + a signal: stopped, and the same command resumes.
DONE, REFUSED = 0, 2
# Ctrl-C while JAX is called by Python's collection of garbage, which cannot stop the program.
_LOST = re.compile(r"Exception ignored in: <function _xla_gc_callback.*?KeyboardInterrupt", re.S)


class Broken(AssertionError):  # noqa: N818
    """A promise that a program did not keep."""


def codes_of(number):
    """Exit codes after a signal: a program that does not handle it is ended by the system."""
    return {-number, 128 + number} if number != signal.SIGKILL else {-number}


def check_end(process, allowed):
    """An exit code among those that are documented for what happened, and no traceback."""
    code, text = process.code, _LOST.sub("", process.text())
    if code is None:
        raise Broken(f"hung: {_last(text)}")
    if "Traceback (most recent call last)" in text or "exception was never retrieved" in text:
        raise Broken(f"traceback (exit code {code}): {_last(text)}")
    if code not in allowed:
        raise Broken(f"exit code {code}, not {sorted(allowed)}: {_last(text)}")
    if code == REFUSED and "error: " not in text:
        raise Broken(f"exit code 2 without a sentence: {_last(text)}")


def check_left(case, before):
    """Nothing finished is lost or half-written, and the inputs are as they were.

    Args:
      case: the program and its disk.
      before: what was finished before the start.
    """
    after, want = case.found(), case.want
    for name, value in after.items():
        if value != want.get(name):
            raise Broken(f"half-written, or another's: {name}{_difference(value, want.get(name))}")
    for name, value in before.items():
        kept = name in after or name == case.program.record
        if value == want.get(name) and not kept:
            raise Broken(f"lost: {name}")
    if case.program.record in after and after != want:
        missing = sorted(set(want) - set(after))
        raise Broken(f"{case.program.record} is there, but not {', '.join(missing)}")
    check_inputs(case)


def check_inputs(case):
    """A program leaves what it reads as it is."""
    if differing := sorted(set(case.inputs_then.items()) ^ set(case.inputs_now().items())):
        raise Broken(f"changed an input: {differing[0][0]}")


def check_progress(case, before):
    """The newest finished checkpoint is never older than one before."""
    if (after := programs.newest(case.disk.out)) < before:
        raise Broken(f"lost: the newest checkpoint was {before}, is {after}")


def check_finished(case):
    """Everything is there, and the same, bit for bit, as without any fault."""
    after = case.found(finished=True)
    if after != case.want:
        names = sorted(n for n in {*after, *case.want} if after.get(n) != case.want.get(n))
        difference = _difference(after.get(names[0]), case.want.get(names[0]))
        raise Broken(f"exit code 0, but another result: {', '.join(names[:3])}{difference}")


def _difference(found, wanted):
    """The first lines that differ, if both are texts."""
    if not (isinstance(found, str) and isinstance(wanted, str)):
        return ""
    for line, other in zip(found.splitlines(), wanted.splitlines(), strict=False):
        if line != other:
            return f" ({line.strip()[:100]}, not {other.strip()[:100]})"
    return " (shorter or longer)"


def _last(text):
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing printed"
