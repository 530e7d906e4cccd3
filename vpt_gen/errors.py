"""What a user can mend: reported as one sentence, without a traceback."""

import sys
from collections.abc import Callable

_DISK_FULL = ("No space left on device", "Disk quota exceeded")


class UserError(Exception):
    """Bad input or a full machine; the message names the thing and the cure."""

    exit_code = 2


class DivergedError(UserError):
    """A loss that is not finite any more: the same command would end the same way."""

    exit_code = 3


def report_user_errors(run: Callable[[], None]) -> int:
    """Runs a program and turns what a user can mend into one line on stderr; the exit code."""
    try:
        run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        # absl leaves with 1 after --help, too.
        return 0 if any(argument.startswith("--help") for argument in sys.argv) else error.code or 0
    except KeyboardInterrupt:
        print("stopped; give the same command again to go on.", file=sys.stderr)
        return 130
    except Exception as error:
        # Orbax reports a full disk as an error of its own, so only the text tells.
        if not any(text in str(error) for text in _DISK_FULL):
            raise
        print(
            "error: the disk is full; free some space and give the same command again "
            "(finished checkpoints are intact).",
            file=sys.stderr,
        )
        return 2
    return 0
