"""Starts `condor_starter` where it sees no secret of the pilot: `python -I -S jail.py PLAN condor_starter ARGUMENTS…`.

The starter moves files for the payload outside of the container, with the rights of the pilot's user: it follows
symbolic links that the payload left, and reads whatever absolute path the job names as output. So each starter
gets a user and a mount namespace of its own with only what it needs: the system, the centre's images, and one fresh
directory for its payload. The pilot's token, its user's home, other pilots and other payloads are not there, and
processes of the pilot cannot be traced from inside.

Only the standard library is imported, and little of it: this runs once for every job, and pathlib alone costs 5 ms.
"""
# ruff: noqa: PTH102, PTH103, PTH109, PTH110, PTH112, PTH114, PTH115, PTH118, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 2, 4, 32, 4096, 16384, 1 << 19
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203}
"""Numbers of the system call that the C library has no function for."""
KEPT_FLAGS = (
    os.ST_RDONLY,
    os.ST_NOSUID,
    os.ST_NODEV,
    os.ST_NOEXEC,
    os.ST_NOATIME,
    os.ST_NODIRATIME,
    os.ST_RELATIME,
)
"""Flags of a mount that may not be dropped in a user namespace; their values are those of `mount`'s flags but the last's."""
MS_RELATIME = 1 << 21
OWN = "own-"

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> NoReturn:
    """Build the jail that the plan describes, and become the program in it.

    The plan is a JSON object: `root`, an empty directory; `shown`, paths to show; `read_only` and `writable`, paths among or
    below them; `hidden`, directories that
    are shown empty; `execute`, the directory in which each starter sees only its own.
    """
    # A signal to stop that comes now waits until the starter can answer it, else the job is lost without a word.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with open(arguments[0], encoding="utf-8") as stream:
        plan = json.load(stream)
    uid, gid, here = os.getuid(), os.getgid(), os.getcwd()
    own = _own_directory(plan["execute"])
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(text)
    _mount(None, "/", None, MS_REC | MS_SLAVE)
    root = plan["root"]
    _mount("fallow", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755")
    for path in plan["shown"]:
        _show(root, path)
    for path in plan["writable"]:
        _bind(path, root + path)
    _bind(own, root + plan["execute"])
    for path in plan["hidden"]:
        _mount("fallow", root + path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k")
    for path in plan["read_only"]:
        _seal(root + path)
    _enter(root)
    os.chdir(here if os.path.isdir(here) else "/")
    os.execv(arguments[1], arguments[1:])  # noqa: S606 - there is no shell to want


def _own_directory(execute: str) -> str:
    """Make this starter's directory, and remove those whose starters have ended."""
    for name in os.listdir(execute):
        if name.startswith(OWN) and not os.path.exists(f"/proc/{name[len(OWN) :]}"):
            import shutil

            shutil.rmtree(os.path.join(execute, name), ignore_errors=True)
    own = os.path.join(execute, f"{OWN}{os.getpid()}")
    os.mkdir(own, 0o700)
    return own


def _show(root: str, path: str) -> None:
    """Show `path` at the same place: a symbolic link as such, a directory with all below it, a file as it is."""
    target = root + path
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
    elif os.path.isdir(path):
        os.mkdir(target)
        _bind(path, target)
    elif os.path.exists(path):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
        _bind(path, target)


def _bind(source: str, target: str) -> None:
    _mount(source, target, None, MS_BIND | MS_REC)


def _seal(target: str) -> None:
    """Make one mount read-only, keeping the flags that the kernel does not let go of here."""
    present = os.statvfs(target).f_flag
    kept = sum(flag for flag in KEPT_FLAGS if present & flag and flag != os.ST_RELATIME)
    if present & os.ST_RELATIME:
        kept |= MS_RELATIME
    _mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def _enter(root: str) -> None:
    """Make `root` the root and let go of everything outside; not by chroot, in which no container could start."""
    os.chdir(root)
    number = PIVOT_ROOT[os.uname().machine]
    if _libc.syscall(number, b".", b".") != 0:
        _fail("pivot_root")
    _call("umount2", b".", MNT_DETACH)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    if _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) != 0:
        _fail(f"mount {source} at {target}")


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        _fail(name)


def _fail(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
