"""The one exception family of Fallow.

Code raises `FallowError` (or a subclass) with what happened, why and what to do. Only the edges translate it: the command
line to one sentence and an exit code, the gateway to an HTTP status.
"""

from __future__ import annotations


class FallowError(Exception):
    """A failure that a person can act on.

    Args:
        what: One sentence: what failed and why.
        remedy: What to do about it; empty when there is nothing to do but wait.
        retryable: Whether the same call may succeed later without anybody changing anything.
    """

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "", retryable: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip() if self.remedy else self.what


class UsageError(FallowError):
    """The caller asked for something that cannot be meant."""

    exit_code = 2


class SettingsError(FallowError):
    """A settings file is missing, unreadable or contradicts itself."""

    exit_code = 2

    def __init__(self, what: str, *, remedy: str = "", setting: str | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.setting = setting


class NotAvailableError(FallowError):
    """A component that is needed (a program, a daemon, the network) is missing or does not answer."""

    exit_code = 3


class FullError(NotAvailableError):
    """The queue takes no more jobs of the caller: the call may succeed with fewer of them, or when some have ended."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy, retryable=True)


class RefusedError(FallowError):
    """The other side understood and said no: not authorised, over a limit, against a rule."""

    exit_code = 4
