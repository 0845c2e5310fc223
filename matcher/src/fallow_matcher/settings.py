"""Settings of the hub: `/etc/fallow/hub.toml`."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from fallow.errors import SettingsError
from fallow.offers import CentreName
from fallow.rules.model import Name
from fallow.settings import Settings, load
from fallow.tokens import TrustedIssuer, TrustedIssuers
from fallow.tokens.issuers import is_loopback

DEFAULT_PATH = Path("/etc/fallow/hub.toml")

HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")]
TrustDomain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class IssuerSettings(TrustedIssuer):
    """One issuer whose WLCG tokens the gateway takes, and how people log in there."""

    client_id: str = ""
    """The public OAuth client for `fallow login`; empty where people get their tokens another way."""


class CentreSettings(Settings):
    """One centre of the federation."""

    name: CentreName
    """What everybody calls the centre; part of identities and ClassAds."""
    launcher_issuer: str
    """The `iss` of the WLCG tokens of the centre's launcher."""
    launcher_sub: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
    """The `sub` of the WLCG tokens of the centre's launcher."""
    admin_group: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$")] | None = None
    """The group whose members speak for the centre on the rules; left out, `<centre_root>/<centre>/admin` of the issuer."""


Person = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*[.][a-z0-9][a-z0-9_-]*$")]
"""Somebody as `<centre>.<user>`."""


class ProjectSettings(Settings):
    """A project of the federation, whose name only its members' jobs may bear."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    """What centres' policies call it."""
    members: list[
        Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*[.]([a-z0-9][a-z0-9_-]*|[*])$")]
    ] = Field(min_length=1)
    """Its people as `<centre>.<user>`; `<centre>.*` for all users of a centre."""


class StorageSettings(Settings):
    """The federation's S3 store."""

    endpoint: str
    """URL of the store as users and pilots reach it."""
    region: str = "us-east-1"
    """The region that requests are signed for."""
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,28}[a-z0-9]$")]
    """The federation's bucket, which holds the images; the users' buckets are named after it."""
    keys_file: Path
    """TOML file, mode 0600, with the hub's own `access_key` and `secret_key`."""
    role: str = "arn:aws:iam::role/fallow-user"
    """The role that the store's STS hands out, narrowed to one user's bucket; only the hub's keys may assume it."""
    jobs: Literal["web-identity", "assume-role", "signed-urls"] = "assume-role"
    """How jobs of campaigns reach their files: by keys of the store's STS, which believes the hub's own tokens
    (`web-identity`) or the hub's keys (`assume-role`), or without any key (`signed-urls`), for stores without an STS."""
    job_role: str = "arn:aws:iam::role/fallow-job"
    """With `web-identity`: the role that is assumed, narrowed to one job's objects."""
    ca_file: Path | None = None
    """Certificate authority of the endpoint where no public one signed it."""

    @field_validator("endpoint")
    @classmethod
    def _is_encrypted_or_local(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError(f"{endpoint!r} is not an http(s) URL with a host; write https://HOST[:PORT]")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError(f"{endpoint!r} would send data in clear text; use https")
        return endpoint.rstrip("/")


class PortSettings(Settings):
    """The ports that the hub listens on."""

    gateway: Port = 8443
    """The gateway (HTTPS)."""
    collector: Port = 9618
    """HTCondor's collector with CCB."""
    queue: Port = 9619
    """HTCondor's shared port: schedd and shadows."""
    matcher_metrics: Port | None = None
    """The matcher's metrics for Prometheus (HTTP, on loopback alone); left out, it has none."""

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        ports = [self.gateway, self.collector, self.queue]
        if len(set(ports)) != len(ports):
            raise ValueError(f"gateway, collector and queue need three ports, not {ports}; change one")
        return self


class LifeSettings(Settings):
    """How long what the hub hands out is good for, in seconds."""

    user_token_s: int = Field(default=3600, ge=300, le=86400)
    """HTCondor token of a user; never longer than the WLCG token it was exchanged for."""
    pilot_token_s: int = Field(default=3600, ge=300, le=86400)
    """HTCondor token of a centre's pilots; never longer than the launcher's WLCG token."""
    daemon_token_s: int = Field(default=7 * 86400, ge=3600, le=31 * 86400)
    """The hub daemons' own token; the gateway renews it at half its life."""
    session_s: int = Field(default=300, ge=60, le=86400)
    """HTCondor security session: what was revoked is out after at most this long."""
    storage_s: int = Field(default=3600, ge=900, le=43200)
    """S3 credentials of a user."""
    url_s: int = Field(default=900, ge=60, le=3600)
    """Presigned URL of an image."""

    @model_validator(mode="after")
    def _sessions_end_before_tokens(self) -> Self:
        shortest = min(self.user_token_s, self.pilot_token_s)
        if self.session_s > shortest:
            raise ValueError(
                f"session_s ({self.session_s}) is longer than the shortest token life ({shortest}), so a session would "
                "outlive its token; lower session_s"
            )
        return self


class LimitSettings(Settings):
    """What one caller may ask of the hub."""

    body_bytes: int = Field(default=256 * 1024, ge=1024, le=16 * 1024 * 1024)
    """Largest request body."""
    campaign_bytes: int = Field(default=8 * 1024 * 1024, ge=1024 * 1024, le=64 * 1024 * 1024)
    """Largest request body of calls about campaigns: rows come many at once."""
    staged_mb: int = Field(default=10_000, ge=1, le=10_000_000)
    """Inputs, and outputs, of one job of a campaign together: more is refused; such data is moved by other means."""
    staging_s: int = Field(default=900, ge=1, le=86_400)
    """How long moving them may take, beyond a second for each megabyte."""
    least_free_mb: int = Field(default=1024, ge=0)
    """Room that has to be free where `state_dir` lies: with less, queue and gateway take no new work and say so."""
    per_address_per_minute: int = Field(default=1800, ge=1)
    """Requests from one network address, which may be that of a whole centre."""
    per_identity_per_minute: int = Field(default=300, ge=1)
    """Requests of one token's subject."""
    logins_per_minute: int = Field(default=20, ge=1)
    """Logins at the hub's page that one network address begins or ends."""


class PairSettings(Settings):
    """The two hubs of a federation that has two: the same on both, as are their ports, keys, rules and database."""

    first: HostName
    """The `host` of the hub that was there first: the jobs of its queue have numbers below 1,000,000,000."""
    second: HostName
    """The `host` of the other one, which has its keys from the first by `fallow hub join`."""

    @model_validator(mode="after")
    def _are_two(self) -> Self:
        if self.first == self.second:
            raise ValueError(f"first and second are both {self.first}; name two hosts")
        return self


class HubSettings(Settings):
    """The hub of one federation."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """What people call the federation."""
    trust_domain: TrustDomain
    """Domain of all HTCondor identities, e.g. `fallow.example.org`; it never changes."""
    host: HostName
    """Name or address under which others reach the hub."""
    listen: str
    """The one address of this machine that the hub's services bind to."""
    account: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "condor"
    """The unprivileged account that HTCondor and the gateway run as."""
    state_dir: Path = Path("/var/lib/fallow")
    """Keys, queue, logs and the gateway's records; belongs to `account`."""
    tls_cert: Path
    """The gateway's certificate with its chain (PEM)."""
    tls_key: Path
    """The gateway's private key (PEM), mode 0600."""
    ports: PortSettings = PortSettings()
    lives: LifeSettings = LifeSettings()
    limits: LimitSettings = LimitSettings()
    audiences: list[str] = Field(min_length=1)
    """The `aud` values that the gateway takes; name the gateway's own URL."""
    issuers: list[IssuerSettings] = Field(min_length=1)
    """Whose WLCG tokens the gateway takes."""
    plain_names_issuer: str | None = None
    """The one issuer whose `sub` becomes a user's name as it is; others' names carry a digest of issuer and `sub`."""
    centres: list[CentreSettings] = Field(min_length=1)
    """The centres of the federation."""
    projects: list[ProjectSettings] = Field(default_factory=list)
    """The projects that jobs may name; centres take or refuse them by their own policies."""
    metrics_from: list[str] = Field(default_factory=list)
    """Addresses that may read the gateway's `/metrics`, beside loopback and `listen`."""
    operators: list[Person] = Field(default_factory=list)
    """Who sees on the hub's page how its parts are."""
    storage: StorageSettings
    max_jobs_per_user: int = Field(default=100_000, ge=1)
    """Jobs that one user may have in the queue."""
    capacity_sample_s: int = Field(default=60, ge=1, le=3600)
    """Seconds between two samples of what is offered and used."""
    restricted_work_types: tuple[Name, ...] = ("urgent",)
    """Work types that only members of the issuer's group `<centre_root>/<centre>/<work type>` may submit."""
    matching_interval_s: int = Field(default=5, ge=1, le=300)
    """Seconds between two decisions of the matcher, and between two looks at the jobs of campaigns."""
    database: SecretStr | None = None
    """URL of the database for rules, ledger and capacity: `postgresql://USER@HOST/NAME?passfile=FILE`; left out, the file
    `fallow.sqlite` in `state_dir`."""
    pair: PairSettings | None = None
    """The two hubs, where this is one of two."""

    @field_validator("listen")
    @classmethod
    def _is_one_address(cls, listen: str) -> str:
        try:
            address = ipaddress.ip_address(listen)
        except ValueError as error:
            raise ValueError(f"{listen!r} is not an IP address; name the one that others reach") from error
        if address.is_unspecified:
            raise ValueError(f"{listen!r} means every interface; name the one address that others reach")
        return listen

    @field_validator("audiences")
    @classmethod
    def _audiences_are_not_empty(cls, audiences: list[str]) -> list[str]:
        if not all(audiences):
            raise ValueError("an audience is empty, so a token for anybody would do; remove it")
        return audiences

    @model_validator(mode="after")
    def _refer_to_what_exists(self) -> Self:
        known = {issuer.url for issuer in self.issuers}
        if self.plain_names_issuer is not None and self.plain_names_issuer not in known:
            raise ValueError(
                f"plain_names_issuer ({self.plain_names_issuer}) is not among issuers ({sorted(known)}); add it there"
            )
        names = [centre.name for centre in self.centres]
        if len(set(names)) != len(names):
            raise ValueError(f"two centres have the same name ({sorted(names)}); rename one")
        launchers = [(centre.launcher_issuer, centre.launcher_sub) for centre in self.centres]
        if len(set(launchers)) != len(launchers):
            raise ValueError(
                "two centres name the same launcher_issuer and launcher_sub; give each its own client"
            )
        for centre in self.centres:
            if centre.launcher_issuer not in known:
                raise ValueError(
                    f"centre {centre.name}: launcher_issuer ({centre.launcher_issuer}) is not among issuers "
                    f"({sorted(known)}); add it there"
                )
        return self

    @model_validator(mode="after")
    def _is_one_of_the_pair(self) -> Self:
        if self.pair is None:
            return self
        if self.host not in self.hosts:
            raise ValueError(
                f"host ({self.host}) is neither of pair ({', '.join(self.hosts)}); name it there"
            )
        if not self.database_url.startswith("postgresql:"):
            raise ValueError(
                "two hubs work on one database, so pair needs one of PostgreSQL; name it in database"
            )
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of both hubs, the first one's first; this one's alone where there is one."""
        return (self.pair.first, self.pair.second) if self.pair else (self.host,)

    @property
    def is_second(self) -> bool:
        """Whether this is the second of two hubs."""
        return self.pair is not None and self.host == self.pair.second

    @property
    def trusted(self) -> TrustedIssuers:
        """The issuers as the token validator wants them; their public keys are kept in the state directory."""
        plain = [
            TrustedIssuer.model_validate(issuer.model_dump(exclude={"client_id"})) for issuer in self.issuers
        ]
        return TrustedIssuers(issuers=plain, cache_dir=self.state_dir / "gateway" / "issuers")

    @property
    def centre_names(self) -> list[str]:
        """The centres' names, sorted."""
        return sorted(centre.name for centre in self.centres)

    @property
    def database_url(self) -> str:
        """The URL of the hub's database; it may hold a password."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{self.state_dir / 'fallow.sqlite'}"

    @property
    def page_url(self) -> str:
        """The origin of the hub's page, as a browser names it."""
        return self.page_url_of(self.host)

    def page_url_of(self, host: str) -> str:
        """The origin of the page of one of the hubs."""
        port = "" if self.ports.gateway == 443 else f":{self.ports.gateway}"
        return f"https://{host}{port}"

    @property
    def metrics_readers(self) -> set[str]:
        """The addresses that may read the gateway's metrics."""
        return {"127.0.0.1", "::1", self.listen, *self.metrics_from}

    @property
    def schedd_name(self) -> str:
        """The queue's name in the pool; HTCondor leaves a name with `@` as it is."""
        return queue_name(self.host)

    @property
    def collector_address(self) -> str:
        """The collector as clients and pilots name it."""
        return f"{self.host}:{self.ports.collector}"


def queue_name(host: str) -> str:
    """What the queue of a hub is called."""
    return f"queue@{host}"


def read(path: Path) -> HubSettings:
    """Read the hub's settings file.

    Raises:
        SettingsError: The file is missing or does not hold together; the message names setting and remedy.
    """
    return load(HubSettings, path)


def require_private(path: Path, setting: str) -> None:
    """Refuse a secret file that is missing or that anybody but its owner may read.

    Raises:
        SettingsError: Names the setting and the command that mends it.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SettingsError(
            f"{setting}: cannot read {path}: {error.strerror}.",
            remedy="Create it, mode 0600.",
            setting=setting,
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"{setting}: {path} has mode {stat.S_IMODE(mode):04o}, so others may read it.",
            remedy=f"Run: chmod 600 {path}",
            setting=setting,
        )
