"""What a user can mend: reported as one sentence, without a traceback."""

import errno
import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input or a full machine; the message names the thing and the cure."""


def report_user_errors(run: Callable[[], None]) -> int:
    """Runs a program and turns what a user can mend into one line on stderr; the exit code."""
    try:
        run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: the disk is full ({error.filename}); free some space.", file=sys.stderr)
        return 2
    return 0
