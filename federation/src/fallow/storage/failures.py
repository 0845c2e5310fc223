"""Why a file could not be staged: one class for each thing that a person would do about it."""

from __future__ import annotations

import errno
from enum import Enum
from typing import Any

from fallow.errors import FallowError


class Trouble(str, Enum):
    """What went wrong between storage and job."""

    MISSING = "missing"
    """There is no such object, or the job has not made the file."""
    DENIED = "denied"
    """The store or the hub refuses."""
    LARGE = "large"
    """More than the federation stages, or than the job asked disk for."""
    CHANGED = "changed"
    """The object became another one while it was read."""
    CORRUPT = "corrupt"
    """What arrived is not what was sent."""
    FULL = "full"
    """No space, on the node or in the store."""
    SLOW = "slow"
    """It moves, but would not be done in time."""
    AWAY = "away"
    """The store or the hub does not answer."""


PASSING = frozenset({Trouble.CORRUPT, Trouble.SLOW, Trouble.AWAY})
"""What may be over in a moment: it is tried again while there is time."""
ELSEWHERE = frozenset({*PASSING, Trouble.FULL})
"""What another node may do better: the row is not to blame."""


class StagingError(FallowError):
    """A file could not be staged.

    Args:
        trouble: The class.
        what: One sentence.
    """

    def __init__(self, trouble: Trouble, what: str) -> None:
        super().__init__(what, retryable=trouble in PASSING)
        self.trouble = trouble

    def __reduce__(self) -> Any:
        """So that another process can say it."""
        return type(self), (self.trouble, self.what)


_BY_CODE = {
    "NoSuchKey": Trouble.MISSING,
    "NoSuchBucket": Trouble.MISSING,
    "PreconditionFailed": Trouble.CHANGED,
    "BadDigest": Trouble.CORRUPT,
    "InvalidDigest": Trouble.CORRUPT,
    "XAmzContentSHA256Mismatch": Trouble.CORRUPT,
    "QuotaExceeded": Trouble.FULL,
    "InsufficientStorage": Trouble.FULL,
    "XMinioStorageFull": Trouble.FULL,
    "EntityTooLarge": Trouble.LARGE,
    "SlowDown": Trouble.SLOW,
    "RequestTimeout": Trouble.SLOW,
}
_BY_STATUS = {
    400: Trouble.CORRUPT,
    401: Trouble.DENIED,
    403: Trouble.DENIED,
    404: Trouble.MISSING,
    408: Trouble.SLOW,
    412: Trouble.CHANGED,
    413: Trouble.LARGE,
    416: Trouble.CHANGED,
    429: Trouble.SLOW,
    507: Trouble.FULL,
}


def by_answer(status: int, code: str = "") -> Trouble:
    """The class of a store's refusal, from its HTTP status and S3 error code."""
    return _BY_CODE.get(code) or _BY_STATUS.get(status, Trouble.AWAY)


def by_system(error: OSError) -> Trouble:
    """The class of a failure of the node's file system or network."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Trouble.FULL
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP):
        return Trouble.DENIED
    return Trouble.MISSING if error.errno == errno.ENOENT else Trouble.AWAY


def by_client_error(error: Any) -> Trouble:
    """The class of botocore's `ClientError`."""
    about = error.response
    status = int(about.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    return by_answer(status, str(about.get("Error", {}).get("Code") or ""))
