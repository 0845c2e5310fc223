"""The check that payloads cannot reach the pilot: a container of the kind that they get is started and questioned."""

from __future__ import annotations

import shutil
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow_pilots.node.finding import Finding, find_program, run, version
from fallow_pilots.node.unpack import fuse_is_there

OLDEST_APPTAINER = (1, 3, 0)
CONTAIN = ["--userns", "--containall", "--no-mount", "bind-paths,hostfs,home,cwd"]
SYSTEM_DIRECTORIES = ("bin", "lib", "lib64", "usr")
QUESTION = "readlink /proc/self/ns/user; readlink /proc/self/ns/pid; echo answered"


def apptainer() -> tuple[Path, str]:
    """The node's Apptainer, of a version whose options we use, and what it says of its version.

    Raises:
        NotAvailableError: There is none, or it is too old.
    """
    program = find_program("apptainer")
    said = run([str(program), "--version"]).stdout
    number = version(said)
    if number is None or number < OLDEST_APPTAINER:
        oldest = ".".join(map(str, OLDEST_APPTAINER))
        raise NotAvailableError(
            f"{program} is too old or not Apptainer.", remedy=f"Install Apptainer {oldest} or later."
        )
    return program, said.splitlines()[0]


def make_check_image(program: Path, libexec: Path, work: Path) -> Path:
    """Build a tiny image without content: the node's own programs are bound into it to ask questions.

    It is a SIF, or a directory where the node cannot mount SIFs: then pilots unpack images. HTCondor's test program is
    put in as well, for the test that its startd makes.

    Raises:
        NotAvailableError: It cannot be built.
    """
    sandbox, image = work / "check", work / "check.sif"
    for name in ("tmp", "var/tmp", "etc", "proc", "sys", "dev"):
        (sandbox / name).mkdir(parents=True, exist_ok=True)
    for name in SYSTEM_DIRECTORIES:
        place = Path("/", name)
        if place.is_symlink():
            (sandbox / name).symlink_to(place.readlink())
        elif place.is_dir():
            (sandbox / name).mkdir()
    test_program = libexec / "singularity_test_sandbox" / "exit_37"
    if test_program.exists():
        shutil.copy(test_program, sandbox / "exit_37")
    if not fuse_is_there(program):
        return sandbox
    built = run([str(program), "-s", "build", str(image), str(sandbox)])
    if built.returncode != 0 or not image.exists():
        raise NotAvailableError(
            f"Apptainer cannot build an image: {_last(built.stderr)}.",
            remedy="Install squashfs-tools, and allow unprivileged user namespaces.",
        )
    return image


def check(jailed: list[str], program: Path, image: Path) -> Finding:
    """Whether an image starts in a starter's jail, with a user namespace and a PID namespace of its own.

    Every failure is fatal: without the first a payload reads the pilot's token, without the second it kills the pilot.
    """
    binds = [word for name in SYSTEM_DIRECTORIES for word in _bind(Path("/", name))]
    # Apptainer looks at its parent process too, which must be in the jail with it: the shell.
    argv = [
        *jailed,
        "/bin/sh",
        "-c",
        '"$@"; exit $?',
        "sh",
        str(program),
        "-s",
        "exec",
        *CONTAIN,
        *binds,
        str(image),
        "/bin/sh",
        "-c",
        QUESTION,
    ]
    try:
        asked = run(argv, directory=image.parent)
    except NotAvailableError as error:
        return _failed(str(error))
    fuse = fuse_is_there(program)
    user, pid, *rest = [*asked.stdout.split(), "", ""]
    if "answered" not in rest:
        return _failed(f"Apptainer cannot start an image: {_last(asked.stderr)}.")
    for name, theirs in (("user", user), ("pid", pid)):
        if theirs == str(Path("/proc/self/ns", name).readlink()):
            return _failed(f"Containers here have no {name} namespace of their own.")
    mounted = "" if fuse else " There is no FUSE: each pilot unpacks the images of its jobs."
    return Finding(
        "isolation",
        True,
        f"Apptainer starts images in user and PID namespaces of their own.{mounted}",
        capabilities={
            "HasSIF": True,
            "FallowIsolated": True,
            "FallowHasFuse": fuse,
        },
    )


def _bind(directory: Path) -> list[str]:
    return ["-B", f"{directory}:{directory}:ro"] if directory.is_dir() and not directory.is_symlink() else []


def _failed(words: str) -> Finding:
    return Finding(
        "isolation",
        False,
        f"{words} Allow unprivileged user namespaces (user.max_user_namespaces) and /dev/fuse on the node.",
        fatal=True,
        capabilities={"FallowIsolated": False},
    )


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "it says nothing")[:300]
