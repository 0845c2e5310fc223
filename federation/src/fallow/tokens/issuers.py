"""Who is trusted to issue tokens, and for what."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fallow.offers import CentreName
from fallow.settings import Settings
from fallow.tokens.operations import OPERATIONS
from fallow.tokens.paths import normalise

GROUP = re.compile(r"(?:/[a-zA-Z0-9][a-zA-Z0-9_.-]*)+\Z")
"""The profile's grammar of a group name."""


def is_loopback(host: str) -> bool:
    """Whether a URL's host part names this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class TrustedIssuer(Settings):
    """One issuer whose tokens are accepted.

    At most one of `centre`, `centre_groups` and `centre_root` is set; without any, its users have no centre.
    """

    url: str
    """Exactly what its tokens carry as `iss`; a trailing slash matters."""
    prefix: str = "/"
    """Where the storage area of this issuer begins on the server: its tokens' paths are relative to that."""
    centre: Optional[CentreName] = None  # noqa: UP045 - read at run time, on Python 3.9 too
    """The centre of everybody who comes from this issuer."""
    centre_groups: dict[str, CentreName] = Field(default_factory=dict)
    """The centre of the members of a group, e.g. `"/vo/alpha" = "alpha"`."""
    centre_root: Optional[str] = None  # noqa: UP045 - read at run time, on Python 3.9 too
    """A group whose direct children are named like centres: `/fallow` for `/fallow/<centre>`. For an issuer
    that may speak for every centre."""
    group_policy: dict[str, frozenset[str]] = Field(default_factory=dict)
    """What a group's members may do when the token holds no capability, e.g. `"/vo" = ["read", "stat"]`."""
    ca_file: Optional[Path] = None  # noqa: UP045 - read at run time, on Python 3.9 too
    """Certificate authorities for this issuer's servers, where no public one signed their certificates."""
    allow_loopback_http: bool = False
    """Accept `http://` for this issuer if its host is this machine: for tests only."""

    @field_validator("url")
    @classmethod
    def _url_is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an https:// URL")
        if parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url:
            raise ValueError(
                f"{url!r} has a user, query or fragment: an issuer is named by scheme, host and path alone"
            )
        return url

    @field_validator("prefix")
    @classmethod
    def _prefix_is_absolute(cls, prefix: str) -> str:
        return normalise(prefix)[0]

    @field_validator("centre_root")
    @classmethod
    def _root_is_a_group(cls, group: str | None) -> str | None:
        if group is not None and not GROUP.match(group):
            raise ValueError(f"{group!r} is not a group's name")
        return group

    @field_validator("centre_groups")
    @classmethod
    def _groups_name_centres(cls, mapping: dict[str, str]) -> dict[str, str]:
        for group, centre in mapping.items():
            if not GROUP.match(group):
                raise ValueError(f"{group!r}, mapped to {centre}, is not a group's name")
        return mapping

    @field_validator("group_policy")
    @classmethod
    def _policy_is_known(cls, policy: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        for group, operations in policy.items():
            unknown = sorted(operations - OPERATIONS)
            if not GROUP.match(group) or unknown:
                raise ValueError(f"{group!r} is no group name, or unknown operations: {', '.join(unknown)}")
        return policy

    @model_validator(mode="after")
    def _settings_agree(self) -> TrustedIssuer:
        ways = [name for name in ("centre", "centre_groups", "centre_root") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} both say what the centre is: keep one")
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_loopback_http and is_loopback(parts.hostname or "")):
            raise ValueError(f"{self.url!r} is not https://, nor an allowed loopback address")
        return self


class TrustedIssuers(Settings):
    """Every issuer that is trusted, and how their keys are kept."""

    issuers: list[TrustedIssuer] = Field(min_length=1)
    """The issuers, each with another `url`."""
    cache_dir: Optional[Path] = None  # noqa: UP045
    """Where issuers' public keys are kept between runs; without it, in memory only."""

    @model_validator(mode="after")
    def _urls_differ(self) -> TrustedIssuers:
        urls = [issuer.url for issuer in self.issuers]
        double = sorted({url for url in urls if urls.count(url) > 1})
        if double:
            raise ValueError(f"listed more than once: {', '.join(double)}")
        return self
