"""What the schedd does to a job before it takes it: transforms, refusals, and what cannot be changed afterwards.

Every attribute that is checked is first evaluated and written back as a literal: an expression that is
harmless at submission and something else later cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fallow_matcher.htcondor import work_types
from fallow_matcher.htcondor.idtokens import work_type_scope

STAMPED = (
    "FallowUserCentre", "FallowWorkType", "FallowVacated", "AcctGroup", "AcctGroupUser", "AccountingGroup", "NiceUser",
    "KeepClaimIdle",
)  # fmt: skip
"""What the schedd itself writes into a job."""

AGE = ("QDate", "EnteredCurrentStatus", "LastHoldReasonCode")
"""What says since when a job waits; the hub's clock counts, and no user changes it."""

FORBIDDEN = (
    "PreCmd", "PreArgs", "PreArguments", "PreEnvironment",
    "PostCmd", "PostArgs", "PostArguments", "PostEnvironment",
    "HookKeyword", "TransferPlugins", "PublicInputFiles", "CheckpointDestination", "OutputDestination",
    "DockerImage", "SingularityImage", "WantDocker", "ContainerServiceNames", "ContainerTargetDir",
    "X509UserProxy", "OAuthServicesNeeded", "SendCredential", "EC2AccessKeyId", "EC2SecretAccessKey",
    "S3AccessKeyIdFile", "S3SecretAccessKeyFile", "DAGManNodesLog", "DAGManNodesMask", "WantIOProxy",
    "LimitDirectoryAccess", "ManifestDir", "JobMountUnderScratch", "Env",
    "JobMaterializeDigestFile", "JobMaterializeItemsFile",
)  # fmt: skip
"""Attributes that reach around the container or into the hub's files."""

FROZEN = (
    "ContainerImage", "WantContainer", "WantContainerImage", "TransferContainer", "FallowImages",
    "FallowImageSource", "FallowProject", "FallowNetwork", "FallowKey", "FallowRun",
    "Iwd", "Cmd", "In", "Out", "Err", "UserLog", "TransferInput", "TransferOutput", "TransferOutputRemaps",
    "TransferExecutable", "JobNotification", "NotifyUser", "FallowWalltime",
)  # fmt: skip
"""Attributes that are checked at submission and must stay as they were."""


MEASURED = (
    "NumJobMatches", "NumShadowStarts", "JobCurrentStartDate", "MachineAttrFallowCentre0", "MachineAttrFallowPilot0",
    "MachineAttrCpus0", "MachineAttrGPUs0", "MachineAttrGPUs_DeviceName0",
)  # fmt: skip
"""What the schedd itself writes of each run; the ledger believes it, so it is nobody's to claim or to change."""

KEPT_IDLE_S = 4
"""How long a slot waits for the next job of a user of its own centre, e.g. the next rule of a workflow. A stranger's slot is
given back by its pilot."""

NOTHING_COMES = (
    '(JobStatus == 5 && HoldReasonCode == 15 && size(TransferInput ?: "") == 0 && TransferExecutable =?= false && '
    '(isUndefined(In) || In =?= "/dev/null"))'
)
"""A job that needs no file of its submitter, who lets it go in a second step, as one whose files are sent."""

SANDBOX = 'strcat("$(SPOOL)/", ClusterId % 10000, "/", ProcId % 10000, "/cluster", ClusterId, ".proc", ProcId, ".subproc0")'
"""Where the schedd keeps the files of a spooled job. Source: condor_utils/spooled_job_files.cpp of HTCondor."""


@dataclass(frozen=True)
class Requirement:
    """One submit requirement: a ClassAd expression that must be true, and the sentence for when it is not."""

    name: str
    expression: str
    reason: str


_PLAIN_PATH = r"[^:\\\\\"\\x00-\\x1f]*"
_RELATIVE_OR_NULL = "(/dev/null|(?!/)(?!.*[.][.]).*)"
PATHS = (
    "TransferInput",
    "TransferOutput",
    "TransferOutputRemaps",
    "Cmd",
    "In",
    "Out",
    "Err",
    "UserLog",
    "Iwd",
)
"""Attributes that name files."""


def _matches(attribute: str, content: str) -> str:
    """An expression that is true where `attribute` is absent or a string that matches `content` from end to end."""
    return f'(isUndefined({attribute}) || regexp("^{content}$", {attribute}) =?= true)'


def _membership(projects: Mapping[str, Sequence[str]]) -> str:
    """An expression that is true where the job names no project, or one of which its owner is a member."""
    clauses = []
    for project, members in projects.items():
        people = ", ".join(f'"{name}"' for name in members if not name.endswith(".*"))
        centres = ", ".join(f'"{name[:-2]}"' for name in members if name.endswith(".*"))
        theirs = f"(member(Owner, {{{people}}}) || member(FallowUserCentre, {{{centres}}}))"
        clauses.append(f'(FallowProject =?= "{project}" && {theirs})')
    return " || ".join(["isUndefined(FallowProject)", *clauses])


def _allowed(restricted: Sequence[str]) -> str:
    """An expression that is true unless the job is of a restricted work type and the submitter's token does not allow it."""
    refused = [
        f'(FallowWorkType =?= "{name}" && '
        f'member("{work_type_scope(name)}", split(AuthTokenScopes ?: "", ",")) =!= true)'
        for name in restricted
    ]
    return f"!({' || '.join(refused) or 'false'})"


def requirements(
    projects: Mapping[str, Sequence[str]] | None = None, restricted: Sequence[str] = ()
) -> list[Requirement]:
    """The submit requirements but that on the work type, in the order in which a person should hear of them.

    Args:
        projects: The federation's projects with their members: `<centre>.<user>`, or `<centre>.*` for all of its users.
        restricted: The work types for which the submitter's token must have a scope; the schedd stamps the scopes.
    """
    return [
        Requirement(
            "Identity",
            "!isUndefined(FallowUserCentre) && FallowUserCentre =!= error",
            "Jobs are taken only from users whose identity names a centre; submit with a token from the gateway.",
        ),
        Requirement(
            "Universe", "JobUniverse == 5", "Only container jobs are taken; set universe = container."
        ),
        Requirement(
            "Image",
            "!isUndefined(ContainerImage) && WantContainer =?= true && TransferContainer =?= false && "
            + _matches("ContainerImage", "/fallow/images/sha256-[0-9a-f]{64}[.]sif"),
            "A job runs in an image named by its digest: container_image = /fallow/images/sha256-<64 hex digits>.sif with "
            "transfer_container = false; upload the image through the gateway first.",
        ),
        Requirement(
            "FurtherImages",
            _matches("FallowImages", "(sha256:[0-9a-f]{64}( sha256:[0-9a-f]{64})*)?"),
            "FallowImages is a space-separated list of sha256:<64 hex digits>.",
        ),
        Requirement(
            "Walltime",
            "isInteger(FallowWalltime) && FallowWalltime > 0",
            "A job says how long it may run: FallowWalltime is a whole number of seconds.",
        ),
        Requirement(
            "Project",
            _membership(projects or {}),
            "FallowProject names a project of this federation of which the submitter is a member, or is left out.",
        ),
        Requirement(
            "Work_type_allowed",
            _allowed(restricted),
            "This work type is for members of the group <centre>/<work type> only, and the token has no such group.",
        ),
        Requirement(
            "Image_source",
            _matches("FallowImageSource", "[a-z0-9:/._ -]*")
            + " && (isUndefined(FallowNetwork) || isBoolean(FallowNetwork))",
            "FallowImageSource is a space-separated list of oras://host/repository; FallowNetwork is true or false.",
        ),
        Requirement(
            "Nothing_outside_the_container",
            " && ".join(f"isUndefined({name})" for name in FORBIDDEN),
            "The job asks for something that would run outside its container or reach files of the hub (a pre- or "
            "post-command, a hook, a transfer plugin, a credential, a service, a checkpoint or output destination).",
        ),
        Requirement(
            "Spooled",
            f"JobStatus == 5 && HoldReasonCode == 16 || {NOTHING_COMES} && Iwd == {SANDBOX}",
            "Files of the hub cannot be used as input; submit with spooling (condor_submit -spool, spool=True).",
        ),
        Requirement(
            "Output_stays_in_the_spool",
            " && ".join(_matches(name, _RELATIVE_OR_NULL) for name in ("In", "Out", "Err")),
            "Standard input, output and error are files beside the job: relative names without '..', or /dev/null.",
        ),
        Requirement(
            "Plain_files",
            " && ".join(_matches(name, _PLAIN_PATH) for name in PATHS),
            "Input and output are plain file names: no URL, no expression, no quote, no colon, no backslash.",
        ),
    ]


LITERAL = (
    "ContainerImage", "FallowImages", "FallowImageSource", "FallowProject", "FallowNetwork", "FallowWalltime", *PATHS,
)  # fmt: skip
"""Attributes that are evaluated once and written back, or removed where they have no value."""


def named_transforms() -> dict[str, list[str]]:
    """The job transforms by name, but that of the work type: what the authenticated identity says, over whatever the
    submitter wrote, and literals.

    The schedd writes lines into its log for each transform of each job, so there is one for all.
    """
    literals = [line for name in LITERAL for line in _literal(name)]
    return {"Fallow": [*_stamps(), *literals, *_own_folder()]}


def _literal(name: str) -> list[str]:
    """Statements that leave a literal or nothing; one that had no value would end the transform, and skip what follows."""
    return [
        f"EVALMACRO absent isUndefined({name}) || isError({name})",
        "if $(absent)",
        f"  DELETE {name}",
        "else",
        f"  EVALSET {name} {name}",
        "endif",
    ]


def _transforms() -> str:
    named = named_transforms()
    lines = [f"JOB_TRANSFORM_NAMES = {' '.join([work_types.NAME, *named])}"]
    for name, statements in named.items():
        lines += [f"JOB_TRANSFORM_{name} @=end", *(f"  {statement}" for statement in statements), "@end"]
    return "\n".join(lines)


def _own_folder() -> list[str]:
    """Statements that give a job without input the folder that spooling would give it.

    The schedd sleeps for a second whenever it has spooled files (Scheduler::spoolJobFilesWorkerThread), for the sake of
    their times, and a job without any need not wait for that. What says that something was spooled makes the schedd create
    the folder (SpooledJobFiles::jobRequiresSpoolDirectory).
    """
    return [
        f"EVALMACRO alone {NOTHING_COMES}",
        "if $(alone)",
        f"  EVALSET Iwd {SANDBOX}",
        "  EVALSET StageInStart time()",
        "  EVALSET StageInFinish time()",
        "endif",
    ]


def _stamps() -> list[str]:
    return [
        *(f"DELETE {name}" for name in ("FallowUserCentre", *MEASURED)),
        "SET NiceUser false",
        f"SET KeepClaimIdle {KEPT_IDLE_S}",
        "SET JobNotification 0",
        "DELETE NotifyUser",
        # In words, why the job came back to the queue. Only a pilot whose capacity its owner withdraws stops a job by
        # PREEMPT without a hold (1011); 1013: its startd ended. The queue removes the code when the job starts again.
        'SET FallowVacated VacateReasonCode =?= 1011 ? "withdrawn by owner" : '
        '(VacateReasonCode =?= 1013 ? "its pilot ended" : undefined)',
        'EVALSET FallowUserCentre regexp("^[a-z][a-z0-9-]*[.][a-z0-9][a-z0-9_-]*$", Owner) ? '
        'regexps("^([^.]*)[.].*$", Owner, "\\\\1") : undefined',
        "EVALSET QDate time()",
        'EVALSET AcctGroup strcat(FallowUserCentre, ".", FallowWorkType)',
        'EVALSET AcctGroupUser regexps("^[^.]*[.](.*)$", Owner, "\\\\1")',
        'EVALSET AccountingGroup strcat(AcctGroup, ".", AcctGroupUser)',
    ]


def render(projects: Mapping[str, Sequence[str]] | None = None, restricted: Sequence[str] = ()) -> str:
    """The job policy as HTCondor configuration; the arguments as in `requirements`."""
    rules = requirements(projects, restricted)
    lines = [
        _transforms(),
        "",
        f"SUBMIT_REQUIREMENT_NAMES = {' '.join([*(rule.name for rule in rules), work_types.NAME])}",
    ]
    for rule in rules:
        lines += [
            f"SUBMIT_REQUIREMENT_{rule.name} = {rule.expression}",
            f'SUBMIT_REQUIREMENT_{rule.name}_REASON = "{rule.reason}"',
        ]
    lines.append("PROTECTED_JOB_ATTRS = " + " ".join((*AGE, "GlobalJobId", *MEASURED)))
    lines.append("IMMUTABLE_JOB_ATTRS = " + " ".join((*STAMPED, *FORBIDDEN, *FROZEN)))
    return "\n".join(lines)
