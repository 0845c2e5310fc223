"""The database of two hubs: a PostgreSQL of the machine's own at the desk, in memory, so that it ends with the desk."""

from __future__ import annotations

import pwd
from ipaddress import IPv4Address
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow_testbed.host import Host
from fallow_testbed.spec import NETWORK_BITS

ACCOUNT = "postgres"
URL = f"postgresql://{ACCOUNT}@desk/{ACCOUNT}"
HOME = Path("/var/lib/postgresql")
DATA = HOME / "testbed"
LOG = HOME / "log"


def start(desk: Host, address: IPv4Address) -> None:
    """Start the server, which takes whoever is on the testbed's network.

    Raises:
        NotAvailableError: PostgreSQL is not installed.
    """
    programs = _programs()
    owner = pwd.getpwnam(ACCOUNT)
    options = f"mode=700,uid={owner.pw_uid},gid={owner.pw_gid}"
    desk.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(HOME)])
    become = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]
    make = [
        str(programs / "initdb"),
        "-D",
        str(DATA),
        "-U",
        ACCOUNT,
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    desk.run([*become, *make], directory=Path("/"))
    with (desk.files / str(DATA / "pg_hba.conf").lstrip("/")).open("a") as stream:
        stream.write(f"host all all {address}/{NETWORK_BITS} trust\n")
    served = f"-c listen_addresses={address} -c unix_socket_directories={HOME} -c fsync=off"
    served += " -c dynamic_shared_memory_type=mmap"  # else it leaves files in the machine's /dev/shm
    run = [str(programs / "pg_ctl"), "-D", str(DATA), "-w", "-t", "60", "-l", str(LOG), "-o", served, "start"]
    desk.run([*become, *run], directory=Path("/"))


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise NotAvailableError(
            "PostgreSQL, the database of two hubs, is missing.",
            remedy="Install it: apt-get install postgresql",
        )
    return found[-1].parent
