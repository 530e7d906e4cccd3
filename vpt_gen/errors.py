"""Errors that a user can fix: reported as one sentence, without a traceback."""

# A field, whether its value is possible, and what it must be.
Requirement = tuple[str, bool, str]


class UserError(Exception):
    """Wrong input or a full disk; the message names the problem, its cause and the fix."""

    exit_code = 2


class DivergedError(UserError):
    """The loss is no longer finite: the same command would end the same way."""

    exit_code = 3
