"""What a user can fix: reported as one sentence, without a traceback."""

# A field, whether its value is possible, and what it must be.
Requirement = tuple[str, bool, str]


class UserError(Exception):
    """Bad input or a full machine; the message names the thing and the cure."""

    exit_code = 2


class DivergedError(UserError):
    """A loss that is not finite any more: the same command would end the same way."""

    exit_code = 3
