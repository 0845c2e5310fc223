"""HTCondor's configuration of one pilot: a pure function from the specification to text.

An unprivileged `condor_master` and `condor_startd` that dial out only (CCB), accept nothing that the hub's queue did not
match to them, and start payloads through our Apptainer launcher only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fallow.admission import ADMISSION
from fallow_pilots.node import fences
from fallow_pilots.node.enclave import own_address
from fallow_pilots.node.finding import Value
from fallow_pilots.node.layout import Layout
from fallow_pilots.spec import PilotSpec

OVERTIME_S = 60
"""How much longer than it asked for a job may run: starting and moving files takes time too."""

HOME_FIRST = "TARGET.FallowUserCentre =?= MY.FallowCentre || TARGET.SubmitterAutoregroup =!= False"
"""Refuses strangers while the negotiator serves each centre's work on its own slots: it alone knows SubmitterAutoregroup."""

LONGEST = 60
"""A longer name of the pilot's directory leaves no room for those of sockets in it, unix(7)."""

HOME_CLAIM_S = 30
"""How long a user of the centre itself may run one job after another on a slot before it is matched anew."""


@dataclass(frozen=True)
class Programs:
    """Where HTCondor is installed."""

    sbin: Path
    libexec: Path

    @property
    def master(self) -> Path:
        """The `condor_master` that the pilot starts."""
        return self.sbin / "condor_master"


@dataclass(frozen=True)
class Node:
    """What the node check found, as far as the configuration needs it."""

    hostname: str
    cores: int
    memory_mb: int
    disk_kb: int
    gpus: int = 0
    capabilities: Mapping[str, Value] = field(default_factory=dict)


def literal(value: Value) -> str:
    """`value` as a ClassAd literal that contains no configuration macro and no line break.

    Raises:
        ValueError: A string with a control character or a backslash, which configuration files do not carry faithfully.
    """
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, (int, float)):
        return repr(value)
    if "\\" in value or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError(f"backslash or control character in {value!r}")
    quoted = value.replace('"', '\\"').replace("$", "$(DOLLAR)")
    return f'"{quoted}"'


def start_expression(spec: PilotSpec) -> str:
    """START: what the hub's submit checks promise, asked again.

    It names few attributes, as each splits the queue into groups that are matched one by one; the rest is for the hook.
    """
    conditions = [*(condition.requirement for condition in ADMISSION), *spec.conditions]
    clauses = [
        "$(FALLOW_ACCEPT)",
        HOME_FIRST,
        *(condition.replace("$", "$(DOLLAR)") for condition in conditions),
    ]
    return " && ".join(f"({clause})" for clause in clauses)


def settings(spec: PilotSpec, layout: Layout, programs: Programs, node: Node, until: int) -> dict[str, str]:
    """Every configuration value of the pilot, in order.

    Args:
        spec: What the launcher asked for.
        layout: The pilot's private directory.
        programs: Where HTCondor lies.
        node: What the node check found.
        until: Unix time at which the pilot leaves.
    """
    advertised: dict[str, Value] = {
        **node.capabilities,
        "FallowCentre": spec.centre,
        "FallowPilot": spec.pilot,
        "FallowUntil": until,
    }
    return {
        **_places(spec, layout, programs, node),
        **fences.security(spec, layout),
        **_network(spec, layout),
        **_resources(node),
        **_policy(spec),
        **fences.isolation(layout),
        **{name: literal(value) for name, value in advertised.items()},
        "STARTD_ATTRS": ", ".join(advertised),
        "MASTER_ATTRS": "FallowCentre, FallowPilot",
    }


def render(values: Mapping[str, str]) -> str:
    """The configuration file's text.

    Raises:
        ValueError: A value has a control character: a line break would begin another setting.
    """
    for name, value in values.items():
        if any(ord(character) < 32 for character in value):
            raise ValueError(f"control character in {name}")
    return "".join(f"{name} = {value}\n" for name, value in values.items())


def evict_s(spec: PilotSpec) -> float:
    """Seconds after which HTCondor should have ended when it was asked to stop what runs; what is left of the grace time
    is for ending it fast, so that the jobs go back to the queue before the batch system kills everything.
    """
    return _vacate_s(spec) + min(15.0, spec.drain_grace_s / 4)


def overrides(*, until: int, closed: bool, withdrawn: bool) -> str:
    """What changes while the pilot runs.

    Args:
        until: Unix time at which the pilot stops what runs.
        closed: Nothing new starts, also not on a claim that is already held.
        withdrawn: What runs goes back to the queue by PREEMPT, which nothing else uses without WANT_HOLD: the queue then
            notes `VacateReasonCode` 1011, and from that `FallowVacated`, "withdrawn by owner".
    """
    values = {"FallowUntil": str(until)}
    if closed:
        values.update({"FALLOW_ACCEPT": "False", "CLAIM_WORKLIFE": "0"})
    if withdrawn:
        values.update({"PREEMPT": "True", "WANT_HOLD": "False", "POLLING_INTERVAL": "1"})
    return render(values)


def _places(spec: PilotSpec, layout: Layout, programs: Programs, node: Node) -> dict[str, str]:
    return {
        "LOCAL_DIR": str(layout.root),
        "SBIN": str(programs.sbin),
        "LIBEXEC": str(programs.libexec),
        "LOG": str(layout.logs),
        "SPOOL": "$(LOCAL_DIR)/spool",
        "RUN": "$(LOCAL_DIR)/run",
        "LOCK": "$(LOCAL_DIR)/run",
        "EXECUTE": str(layout.execute),
        "LOCAL_CONFIG_DIR": str(layout.overrides),
        "LOCAL_CONFIG_FILE": "",
        "REQUIRE_LOCAL_CONFIG_FILE": "False",
        "PROCD": str(layout.procd),
        "PROCD_ADDRESS": "$(RUN)/procd",
        "CONDOR_HOST": spec.collector.rsplit(":", 1)[0],
        # Of two hubs each matches its own queue's jobs with the pilot; a slot takes one claim, whoever comes first.
        "COLLECTOR_HOST": ", ".join(spec.collectors),
        "CCB_ADDRESS": "$(COLLECTOR_HOST)",
        # A job whose connection broke goes on if the hub finds the pilot again before the job's lease is over.
        "CCB_RECONNECT_TIME": "$RANDOM_INTEGER(3, 10)",
        "FULL_HOSTNAME": node.hostname,
        "MASTER_NAME": spec.pilot,
        "STARTD_NAME": spec.pilot,
        "UID_DOMAIN": f"{spec.pilot}.invalid",
        "FILESYSTEM_DOMAIN": f"{spec.pilot}.invalid",
        "STARTER_ALLOW_RUNAS_OWNER": "False",
        "DAEMON_LIST": "MASTER, STARTD",
        "UPDATE_INTERVAL": "$RANDOM_INTEGER(100, 140)",
        "MASTER_UPDATE_INTERVAL": "$RANDOM_INTEGER(280, 320)",
        "STARTD_HISTORY": "$(LOG)/history",
        "MAX_DEFAULT_LOG": "10 Mb",
        "MAX_NUM_DEFAULT_LOG": "1",
        "ENABLE_KERNEL_TUNING": "False",
        "RUNBENCHMARKS": "False",
        "BENCHMARKS_JOBLIST": "",
        "PREEN": "",
        "MASTER_CHECK_NEW_EXEC_INTERVAL": "0",
    }


def _network(spec: PilotSpec, layout: Layout) -> dict[str, str]:
    """The daemons share the port of one that has registered with CCB; in an enclave there is one address, and no IPv6.

    A starter holds no token and cannot ask the hub to be called back, and few nodes can be dialled: by the shared port it is
    found again after a restart of the hub, and its job goes on.
    """
    found = {"USE_SHARED_PORT": "False"}
    if len(str(layout.root)) <= LONGEST:
        found = {
            "USE_SHARED_PORT": "True",
            "SHARED_PORT_PORT": "0",
            "DAEMON_LIST": "MASTER, SHARED_PORT, STARTD",
            "DAEMON_SOCKET_DIR": "$(RUN)",
        }
    if spec.way_file is not None:
        found |= {"NETWORK_INTERFACE": own_address(spec.pilot), "ENABLE_IPV6": "False"}
    return found


def _resources(node: Node) -> dict[str, str]:
    gpus = (
        {"STARTD_DETECT_GPUS": "-properties", "SLOT_TYPE_1_GPUS": "100%"}
        if node.gpus
        else {"STARTD_DETECT_GPUS": ""}
    )
    return {
        "NUM_CPUS": str(node.cores),
        "MEMORY": str(node.memory_mb),
        "DISK": str(node.disk_kb),
        **gpus,
        "NUM_SLOTS": "1",
        "NUM_SLOTS_TYPE_1": "1",
        "SLOT_TYPE_1": "100%",
        "SLOT_TYPE_1_PARTITIONABLE": "True",
    }


def _vacate_s(spec: PilotSpec) -> int:
    """Seconds in which a payload may stop by itself: half of what the batch system leaves between signal and end."""
    return max(1, min(60, spec.drain_grace_s // 2))


def _policy(spec: PilotSpec) -> dict[str, str]:
    over_memory = "(MemoryUsage ?: 0) > Memory"
    over_disk = "(DiskUsage ?: 0) > Disk"
    over_time = f"(time() - (JobStart ?: time())) > TARGET.FallowWalltime + {OVERTIME_S}"
    vacate_s = _vacate_s(spec)
    return {
        "FALLOW_ACCEPT": "True",
        "START": start_expression(spec),
        "RANK": "0",
        "SUSPEND": "False",
        "CONTINUE": "True",
        "WANT_SUSPEND": "False",
        "WANT_VACATE": "True",
        "KILL": "False",
        "OVER_MEMORY": over_memory,
        "OVER_DISK": over_disk,
        "OVER_TIME": over_time,
        "PREEMPT": "($(OVER_MEMORY)) =?= True || ($(OVER_DISK)) =?= True || ($(OVER_TIME)) =?= True",
        "WANT_HOLD": "$(PREEMPT)",
        "WANT_HOLD_REASON": (
            "ifThenElse(($(OVER_MEMORY)) =?= True, "
            'strcat("The job used ", MemoryUsage, " MB and had asked for ", Memory, " MB."), '
            "ifThenElse(($(OVER_DISK)) =?= True, "
            'strcat("The job used ", DiskUsage, " KiB of disk and had asked for ", Disk, " KiB."), '
            'strcat("The job ran longer than the ", TARGET.FallowWalltime, " s that it had asked for.")))'
        ),
        "WANT_HOLD_SUBCODE": (
            "ifThenElse(($(OVER_MEMORY)) =?= True, 102, ifThenElse(($(OVER_DISK)) =?= True, 104, 105))"
        ),
        # Retirement would also delay the end that the centre asks for.
        "MAXJOBRETIREMENTTIME": "0",
        "MACHINEMAXVACATETIME": str(vacate_s),
        "KILLING_TIMEOUT": "10",
        "SHUTDOWN_GRACEFUL_TIMEOUT": str(vacate_s + 10),
        "SHUTDOWN_FAST_TIMEOUT": "20",
        "STARTER_INITIAL_UPDATE_INTERVAL": "5",
        "STARTER_UPDATE_INTERVAL": "60",
        "POLLING_INTERVAL": "5",
        # A stranger's claim ends with its job, so that the slot goes to whoever is next by the policy.
        # It is asked for between two jobs, when the slot knows whose claim it is and nothing of a job.
        "CLAIM_WORKLIFE": (
            f'ifThenElse(regexp(strcat("^", FallowCentre, "[.]"), RemoteOwner ?: ""), {HOME_CLAIM_S}, 0)'
        ),
    }
