"""Slurm for one centre of the testbed: its configuration as text, and its daemons.

The settings that make Slurm 24.11 run without cgroups inside namespaces, and preempt one partition for another, are those
of slurm.conf(5) and cgroup.conf(5).
"""

from __future__ import annotations

from fallow_testbed import files
from fallow_testbed.host import Host
from fallow_testbed.spec import Centre
from fallow_testbed.wait import wait_until

PREEMPTION_GRACE_S = 15
KILL_WAIT_S = 30
"""From the signal to end until what is left is killed; Slurm's default."""
CONTROLLER_PORT, NODE_PORT = 6817, 6818


def slurm_conf(name: str, centre: Centre) -> str:
    """`slurm.conf` of one centre: partition `main` for its own users, and `spare`, whose jobs `main` preempts."""
    nodes = f"{name}-[1-{centre.nodes}]" if centre.nodes > 1 else f"{name}-1"
    return f"""\
ClusterName={name}
SlurmctldHost={name}
SlurmctldPort={CONTROLLER_PORT}
SlurmdPort={NODE_PORT}
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
ReturnToService=2
KillWait={KILL_WAIT_S}
MinJobAge=300
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
MpiDefault=none
NodeName={nodes} CPUs={centre.cores} RealMemory={centre.memory_mb} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
PartitionName=spare Nodes=ALL PriorityTier=1 PreemptMode=CANCEL GraceTime={PREEMPTION_GRACE_S} MaxTime=1-0 State=UP
"""


CGROUP_CONF = "CgroupPlugin=disabled\n"


def prepare(host: Host, name: str, centre: Centre, munge_key: str) -> None:
    """Put the configuration and the centre's munge key on a host that has not started yet."""
    files.write(host, "/etc/slurm/slurm.conf", slurm_conf(name, centre))
    files.write(host, "/etc/slurm/cgroup.conf", CGROUP_CONF)
    files.write(host, "/etc/munge/munge.key", munge_key, mode=0o400, owner=files.ids(host, "munge"))


def start_munge(host: Host) -> None:
    """Start munged and wait until it answers."""
    host.run(
        ["install", "-d", "-o", "munge", "-g", "munge", "/run/munge", "/var/lib/munge", "/var/log/munge"]
    )
    host.run(["munged"], user="munge")
    wait_until(lambda: host.run(["munge", "-n"], check=False).returncode == 0, f"munged on {host.name}", 20)


def start_controller(login: Host) -> None:
    """Start slurmctld."""
    start_munge(login)
    login.run(["install", "-d", "/var/spool/slurmctld"])
    login.run(["slurmctld"])


def start_node(node: Host) -> None:
    """Start slurmd."""
    start_munge(node)
    node.run(["install", "-d", "/var/spool/slurmd"])
    node.run(["slurmd"])


def wait_for_nodes(login: Host, centre: Centre) -> None:
    """Wait until the controller sees every node idle (or already at work)."""

    def up() -> bool:
        answer = login.run(["sinfo", "-h", "-N", "-p", "main", "-o", "%t"], check=False)
        states = answer.stdout.split()
        return len(states) == centre.nodes and all(state in {"idle", "alloc", "mix"} for state in states)

    wait_until(up, f"Slurm on {login.name}", 60)
