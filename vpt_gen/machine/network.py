"""Whether a program may use the network (the flag --offline), and what it says without one."""

from absl import flags

from vpt_gen.errors import UserError


class UnreachableError(UserError):
    """A file that cannot be fetched now, although it may be there: no network, no access.

    Attributes:
      reason: the beginning of the sentence, without a cure.
    """

    def __init__(
        self, reason: str, cure: str = "fetch it elsewhere, or give the same command again"
    ):
        self.reason = reason
        super().__init__(f"{reason}; {cure}.")


def define_flags() -> None:
    """Defines the flag of programs that fetch what is missing."""
    flags.DEFINE_bool(
        "offline", False, "Fetch nothing: what is missing is an error that says how to bring it."
    )


def is_offline() -> bool:
    """Whether the command line has --offline; no for programs without that flag."""
    return "offline" in flags.FLAGS and bool(flags.FLAGS["offline"].value)
