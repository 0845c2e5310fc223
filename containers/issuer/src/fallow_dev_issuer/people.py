"""The people that the issuer vouches for, and which scopes each may have. One TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fallow_dev_issuer.errors import IssuerError

PROTOCOL_SCOPES = frozenset({"openid", "offline_access", "wlcg", "wlcg.groups"})
"""Scopes that give no rights by themselves, so everybody may have them."""

EXAMPLE = """\
# The people of a development issuer. `clients` are the public OAuth clients that it serves.
clients = ["fallow"]

[users.alice]
sub = "alice"
name = "Alice Alder"
groups = ["/fallow", "/fallow/alder"]
scopes = ["compute.read", "compute.create", "compute.cancel", "compute.modify"]
# password = "..."    # lets her approve a login on the page; without it only `fallow-dev-issuer approve` can
"""

Group = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$", max_length=255)]
Scope = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$", max_length=1_000)]


class Person(BaseModel):
    """One user: who it is and what a token for it may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sub: str = Field(pattern=r"^[\x21-\x7e]+$", max_length=255)
    name: str = Field(min_length=1, max_length=200)
    groups: list[Group] = []
    scopes: list[Scope] = []
    password: str = Field(default="", repr=False)

    def may_have(self, scope: str) -> bool:
        """Whether a token may carry `scope`: listed, below a listed path, or a scope that gives no rights."""
        if scope in PROTOCOL_SCOPES or scope in self.scopes:
            return True
        name, colon, path = scope.partition(":")
        if name == "wlcg.groups":
            return path in self.groups
        return bool(colon) and any(_is_below(path, allowed, name) for allowed in self.scopes)

    def granted(self, requested: list[str]) -> list[str]:
        """Those of the requested scopes that this person may have, in the order asked and once each."""
        return [scope for scope in dict.fromkeys(requested) if self.may_have(scope)]

    def groups_for(self, scopes: list[str]) -> list[str] | None:
        """The `wlcg.groups` claim, those asked for by name first; None if groups were not asked for."""
        named = [scope.partition(":")[2] for scope in scopes if scope.startswith("wlcg.groups:")]
        if not named and "wlcg.groups" not in scopes:
            return None
        return list(dict.fromkeys([*named, *self.groups]))


def _is_below(path: str, allowed: str, name: str) -> bool:
    allowed_name, _, allowed_path = allowed.partition(":")
    if allowed_name != name or not allowed_path or ".." in path.split("/"):
        return False
    return path == allowed_path or path.startswith(allowed_path.rstrip("/") + "/")


class People(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clients: list[str] = ["fallow"]
    redirects: list[str] = []
    """The exact URLs that the code flow may lead back to."""
    users: dict[str, Person]

    @classmethod
    def load(cls, path: Path) -> "People":
        """Read and check the file.

        Raises:
            IssuerError: It is missing, is no TOML, or a field is wrong; the message names every one.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8")))
        except OSError as error:
            raise IssuerError(f"Cannot read {path}: {error.strerror}.") from error
        except ValidationError as error:
            problems = [
                (".".join(map(str, item["loc"])), item["msg"]) for item in error.errors(include_input=False)
            ]
            raise IssuerError(
                f"{path}: " + "; ".join(f"{place}: {said}" for place, said in problems)
            ) from error
        except ValueError as error:
            raise IssuerError(f"{path} is not valid TOML: {error}.") from error

    def user(self, name: str) -> Person:
        """The user of that name in the file."""
        try:
            return self.users[name]
        except KeyError as error:
            known = ", ".join(sorted(self.users)) or "none"
            raise IssuerError(f"There is no user {name!r}. Known: {known}.") from error
