"""The common part of all programs: flags, logging, errors, exit codes, the recorded command."""

import csv
import io
import os
import pathlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from vpt_gen.config import flag
from vpt_gen.config.repeat import argument
from vpt_gen.errors import UserError
from vpt_gen.machine import compiled, distributed, host_memory
from vpt_gen.machine.printable import escaping, one_line

# Characters of a message; an error of a foreign file could hold all of the file.
_LONGEST = 5000
# What errors of the disk say, and what a user can do.
_DISK = {
    "No space left on device": "the disk is full; free some space",
    "Disk quota exceeded": "the disk is full; free some space",
    "Read-only file system": "a disk can only be read; make it writable",
}


def run(
    main: Callable[[], None],
    define_flags: Callable[[], None] = lambda: None,
    *,
    needs_config: bool = True,
) -> NoReturn:
    """Runs a program from its command line, and ends the process.

    Args:
      main: the program, called after the flags are parsed.
      define_flags: defines its flags; not at import, so that programs can share a process.
      needs_config: whether --config must be given, if the program has that flag.
    """
    host_memory.keep()
    compiled.keep()
    escaping(sys.stdout)
    others = set(flags.FLAGS)
    define_flags()
    for name in set(flags.FLAGS) - others:
        # --help shows the program's flags, whichever module defines them.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])

    def parse(argv: list[str]) -> list[str]:
        return flag.parse(argv, needs_config)

    def start(argv: list[str]) -> None:
        del argv  # `flag.parse` has refused arguments that are not flags.
        # Orbax logs every step of every save, and errors that it also raises.
        logging.set_verbosity(logging.FATAL)
        main()

    distributed.leave_after(lambda: exit_code(lambda: app.run(start, flags_parser=parse)))


def exit_code(program: Callable[[], None]) -> int:
    """Runs a program, prints errors that a user can fix as one line; returns the exit code."""
    try:
        program()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {one_line(str(error))[:_LONGEST]}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        return _code_of(error)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`); at exit Python would try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if _hides_interrupt(error):
            return _interrupted()
        # Orbax reports errors of the disk as its own, so only the text identifies them.
        cures = [cure for text, cure in _DISK.items() if text in str(error)]
        if not cures:
            raise
        print(
            f"error: {cures[0]} and give the same command again (finished checkpoints are intact).",
            file=sys.stderr,
        )
        return UserError.exit_code
    return 0


def _interrupted() -> int:
    print("stopped; give the same command again to resume.", file=sys.stderr)
    return 128 + signal.SIGINT


def _hides_interrupt(error: BaseException | None) -> bool:
    """Whether an error came up while Ctrl-C was handled: libraries then release what they lack."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _code_of(error: SystemExit) -> int:
    # absl also exits with 1 after --help.
    if any(given.startswith("--help") for given in sys.argv):
        return 0
    return error.code if isinstance(error.code, int) else int(bool(error.code))


def command(
    program: str,
    settled: Mapping[str, Any] | None = None,
    leave_out: tuple[str, ...] = (),
    values: flags.FlagValues = flags.FLAGS,
) -> str:
    """Returns the shell command that reproduces this program: all given flags with their values.

    Args:
      program: such as "vpt_gen.evaluate".
      settled: flag -> the actual value, for example of a default.
      leave_out: flags without effect on the result.
      values: the flags.
    """
    settled = settled or {}
    words: list[str] = []
    for name in values:
        if values[name].present and name not in (*settled, *leave_out) and "." not in name:
            words += _arguments(name, values[name])
    return spelled(program, settled, words)


def spelled(program: str, flag_values: Mapping[str, Any], words: Sequence[str] = ()) -> str:
    """Returns a shell command: a program, words of its command line, and flags with values."""
    given = [f"--{name}={value}" for name, value in flag_values.items()]
    return shlex.join(["python", "-m", program, *words, *given])


def _arguments(name: str, given: flags.Flag) -> Iterator[str]:
    """Yields a flag as words of a command line, with the config fields that it changes."""
    if name == "config":
        yield f"--config={config_flags.get_config_filename(given)}"
        for field, value in config_flags.get_override_values(given).items():
            yield f"--config.{field}={argument(value)}"
    elif isinstance(given.value, bool):
        yield f"--{name}" if given.value else f"--no{name}"
    elif isinstance(given, flags.MultiFlag):
        yield from (f"--{name}={value}" for value in given.value or ())
    elif isinstance(given.value, list):
        yield f"--{name}={listed(given.value)}"
    else:
        yield f"--{name}={given.value}"


def listed(words: Sequence[str]) -> str:
    """Spells a list as the value of a flag; words with a comma or quotes are quoted, as in CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue()


def default_workdir() -> str:
    """Returns runs/<name> for the value of --config: configs/a.py:ar,lora -> runs/a_ar_lora."""
    file, *variant = config_flags.get_config_filename(flags.FLAGS["config"]).split(":", 1)
    return f"runs/{'_'.join([pathlib.Path(file).stem, *variant]).replace(',', '_')}"
