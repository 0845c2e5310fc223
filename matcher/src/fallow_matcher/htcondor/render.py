"""HTCondor configuration of the hub, as text, from the hub's settings."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from fallow.queue.ids import SECOND_FROM
from fallow_matcher.htcondor import groups, policy, revocation, work_types
from fallow_matcher.htcondor.keys import DAEMON_KEY
from fallow_matcher.identities import OPERATOR, daemon_identity, operator_identity, pilot_identity
from fallow_matcher.matching.factors import UNRANKED
from fallow_matcher.settings import HubSettings

LEVELS = (
    "DEFAULT", "CLIENT", "READ", "WRITE", "DAEMON", "NEGOTIATOR", "ADMINISTRATOR", "CONFIG", "OWNER",
    "ADVERTISE_STARTD", "ADVERTISE_SCHEDD", "ADVERTISE_MASTER",
)  # fmt: skip
"""Every authorisation level of HTCondor; READ and CLIENT do not follow DEFAULT, the others are written out to be seen."""

PROTECTIONS = ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")


class _ConfigTemplate(Template):
    """`@{name}` stands for a value, so that HTCondor's own `$(…)` stays as it is."""

    delimiter = "@"
    pattern = r"@(?:\{(?P<braced>[a-z_]+)\}|(?P<named>(?!))|(?P<escaped>(?!))|(?P<invalid>(?!)))"  # type: ignore[assignment]


def hub_config(settings: HubSettings, out: Path) -> str:
    """The whole `condor_config` of the hub.

    Args:
        settings: The hub's settings.
        out: The folder that the file will live in.
    """
    template = _ConfigTemplate(files(__package__).joinpath("hub.config").read_text(encoding="utf-8"))
    centres = settings.centre_names
    return template.substitute(
        name=settings.name,
        account=settings.account,
        state_dir=settings.state_dir,
        out=out,
        revoked=revocation.file_of(settings),
        matching=groups.file_of(settings),
        work_types=work_types.file_of(settings),
        unranked_factor=UNRANKED,
        host=settings.host,
        schedd=settings.schedd_name,
        listen=settings.listen,
        collector_port=settings.ports.collector,
        queue_port=settings.ports.queue,
        trust_domain=settings.trust_domain,
        trust_domain_pattern=settings.trust_domain.replace(".", "[.]"),
        required="\n".join(f"SEC_{level}_{what} = REQUIRED" for level in LEVELS for what in PROTECTIONS),
        session_s=settings.lives.session_s,
        daemon_key=DAEMON_KEY,
        daemon=daemon_identity(settings.trust_domain),
        operator=operator_identity(settings.trust_domain),
        operator_name=OPERATOR,
        users=", ".join(f"{centre}.*@{settings.trust_domain}" for centre in centres),
        pilots=", ".join(pilot_identity(centre, settings.trust_domain) for centre in centres),
        job_policy=policy.render(
            {project.name: project.members for project in settings.projects}, settings.restricted_work_types
        ),
        max_jobs_per_user=settings.max_jobs_per_user,
        numbers=_numbers(settings),
    )


def _numbers(settings: HubSettings) -> str:
    """A further line about which clusters the queue gives: of two, each its own, so that a job's id says whose it is."""
    if settings.is_second:
        return f"\nSCHEDD_CLUSTER_INITIAL_VALUE = {SECOND_FROM}"
    return f"\nSCHEDD_CLUSTER_MAXIMUM_VALUE = {SECOND_FROM}" if settings.pair else ""
