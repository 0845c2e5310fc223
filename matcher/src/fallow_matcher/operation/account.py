"""The one account that the hub runs as, taken on by whoever starts as root."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from fallow.errors import NotAvailableError

P = ParamSpec("P")
T = TypeVar("T")


def entry(name: str) -> pwd.struct_passwd:
    """What the machine knows of an account.

    Raises:
        NotAvailableError: There is none of that name.
    """
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise NotAvailableError(
            f"The account {name!r} that the hub runs as does not exist.",
            remedy="Create it or change `account`.",
        ) from error


def become(name: str) -> None:
    """Go on as the account `name`, for good; whoever is not root stays who it is.

    What root would leave behind in the state directory (a database's files, a lock) the hub's parts could not use.
    """
    if os.geteuid() != 0:
        return
    found = entry(name)
    os.initgroups(name, found.pw_gid)
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)


def as_account(name: str, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What `function` gives when it is called as the account `name`; root stays root afterwards."""
    if os.geteuid() != 0:
        return function(*arguments, **named)
    with ProcessPoolExecutor(1, get_context("fork"), become, (name,)) as pool:
        return pool.submit(function, *arguments, **named).result()
