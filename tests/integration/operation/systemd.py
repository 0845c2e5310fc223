"""A host of the testbed whose first process is a real systemd, as on an operator's own machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess

from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

Run = Callable[..., CompletedProcess[str]]

_MACHINE_ID = "0123456789abcdef0123456789abcdef\n"
"""Without one systemd takes a boot for the first, and enables what Debian enables then: a network of its own, too."""
_AT_CGROUPS = "mkdir -p /run/cgroups && mount -t cgroup2 cgroup2 /run/cgroups && cd /run/cgroups"
_BOOT = f"""set -e
{_AT_CGROUPS}
mkdir "$0"
echo $$ > "$0/cgroup.procs"
exec unshare --cgroup --mount --pid --fork --mount-proc --kill-child=KILL sh -c '
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
exec env -i container=testbed PATH="$PATH" /usr/lib/systemd/systemd --unit=basic.target'
"""
"""A control group of its own is all that systemd gets of the machine, and its kernel's settings stay as they are; what else
Debian would start is left out."""
_CLEAR = 'cd /run/cgroups && find "$0" -depth -type d -exec rmdir {} +'


@contextmanager
def systemd_on(host: Host) -> Iterator[Run]:
    """Start systemd in a host; gives what runs a command under it. Nothing of it stays."""
    group = f"fallow-{os.getpid()}"
    (host.files / "etc/machine-id").write_text(_MACHINE_ID)
    holder = host.spawn(["sh", "-c", _BOOT, group], log="/var/log/systemd.log")

    def run(*argv: str, check: bool = True) -> CompletedProcess[str]:
        # The oldest: what it is about to start is called systemd as well, for a moment.
        (first,) = host.run(["pgrep", "-x", "-o", "systemd"]).stdout.split()
        return host.run(["nsenter", "--all", "--target", first, "--", *argv], check=check)

    def booted() -> bool:
        there = host.run(["pgrep", "-x", "systemd"], check=False)
        if there.returncode != 0:
            return False
        # It can load no kernel modules, so it is never quite content.
        return run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    try:
        wait_until(booted, "systemd", 60)
        yield run
    finally:
        host.run(["pkill", "-9", "-x", "systemd"], check=False)
        holder.wait(60)
        host.run(["sh", "-c", _CLEAR, group])
