"""HTCondor as the batch system of one centre of the testbed: its configuration as text, and its daemons.

This pool is the centre's own and has nothing to do with the hub's: its daemons know each other by a pool password, its
users by the account that they have on the login host, and its jobs run as that account. Where a local job needs the
room, it takes it from a pilot after a grace time, as a centre's owner would have it. Slots are static and as large as a
pilot: HTCondor gives no grace where it preempts parts of a partitionable slot.
"""

from __future__ import annotations

from fallow_testbed import files
from fallow_testbed.host import Host
from fallow_testbed.spec import Centre
from fallow_testbed.wait import wait_until

CONFIG = "/etc/condor/condor_config"
PASSWORD = "/etc/condor/pool_password"  # noqa: S105 - where it lies
DAEMONS = "condor@password"
"""What HTCondor calls those who know the pool's password."""
PILOTS = "pilot"
PREEMPTION_GRACE_S = 15


def condor_config(name: str, centre: Centre, *, login: bool) -> str:
    """`condor_config` of a centre's login host, or of one of its nodes."""
    slots = max(1, centre.cores // centre.pilots.cores)
    daemons = "MASTER, COLLECTOR, NEGOTIATOR, SCHEDD" if login else "MASTER, STARTD"
    return f"""\
RELEASE_DIR = /usr
BIN = /usr/bin
SBIN = /usr/sbin
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
LOCAL_DIR = /var/lib/condor
LOG = /var/log/condor
RUN = /run/condor
LOCK = /run/condor
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/execute
REQUIRE_LOCAL_CONFIG_FILE = False
LOCAL_CONFIG_DIR =
DAEMON_LIST = {daemons}
CONDOR_HOST = {name}
COLLECTOR_HOST = {name}:9618
UID_DOMAIN = {name}
FILESYSTEM_DOMAIN = {name}
TRUST_UID_DOMAIN = True
TRUST_DOMAIN = {name}
MAIL = /bin/true
USE_PROCD = True
BASE_CGROUP =

SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
SEC_READ_AUTHENTICATION = REQUIRED
SEC_CLIENT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD
SEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD
SEC_READ_AUTHENTICATION_METHODS = FS, PASSWORD
SEC_PASSWORD_FILE = {PASSWORD}
SEC_ENABLE_TOKEN_REQUEST = False
ALLOW_READ = *@{name}, {DAEMONS}
ALLOW_WRITE = *@{name}, {DAEMONS}
ALLOW_DAEMON = {DAEMONS}, condor@{name}, root@{name}
ALLOW_NEGOTIATOR = {DAEMONS}, condor@{name}, root@{name}
ALLOW_ADMINISTRATOR = condor@{name}, root@{name}

NUM_CPUS = {centre.cores}
MEMORY = {centre.memory_mb}
NUM_SLOTS_TYPE_1 = {slots}
SLOT_TYPE_1 = cpus={centre.pilots.cores}, memory={centre.memory_mb // slots}, disk=auto
SLOT_TYPE_1_PARTITIONABLE = False
START = True
SUSPEND = False
PREEMPT = False
KILL = False
RANK = TARGET.Owner =!= "{PILOTS}"
MAXJOBRETIREMENTTIME = 0
MACHINEMAXVACATETIME = {PREEMPTION_GRACE_S}
NEGOTIATOR_CONSIDER_PREEMPTION = True
RUNBENCHMARKS = False
ENABLE_KERNEL_TUNING = False
DOCKER =
SINGULARITY = /usr/bin/apptainer
SINGULARITY_RUN_TEST_BEFORE_JOB = False
SHADOW.GUIDANCE_KEEP_CALM_AND = True
HasSIF = True
STARTD_ATTRS = HasSIF
UPDATE_INTERVAL = 5
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 5
PERIODIC_EXPR_INTERVAL = 5
"""


def prepare(host: Host, name: str, centre: Centre, secret: str) -> None:
    """Put the configuration and the pool's password on a host that has not started yet."""
    files.write(host, CONFIG, condor_config(name, centre, login=host.name == name))
    files.write(host, PASSWORD, secret, mode=0o600)


def start_controller(login: Host) -> None:
    """Start the collector, the negotiator and the schedd."""
    _start(login)


def start_node(node: Host) -> None:
    """Start the startd."""
    _start(node)


def wait_for_nodes(login: Host, centre: Centre) -> None:
    """Wait until the schedd takes jobs and every node is in the pool."""

    def up() -> bool:
        queue = login.run(["condor_status", "-schedd", "-af", "Name"], check=False)
        slots = login.run(["condor_status", "-af", "Machine"], check=False)
        return bool(queue.stdout.strip()) and len(set(slots.stdout.split())) == centre.nodes

    wait_until(up, f"HTCondor on {login.name}", 120)


def _start(host: Host) -> None:
    owner = ["-o", "condor", "-g", "condor"]
    host.run(["install", "-d", *owner, "/var/log/condor", "/var/lib/condor/spool", "/run/condor"])
    host.run(["install", "-d", *owner, "-m", "0755", "/var/lib/condor/execute"])
    host.spawn(["condor_master", "-f"], log="/var/log/condor/master.out")
