"""What only a benchmark compares with: packages from PyPI, and Snakemake with the slurm plugin as a centre's user has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fallow_testbed.images import ensure_sif
from fallow_testbed.layout import Layout

NODES = ("--python-version", "3.13", "--only-binary", ":all:")
"""The Python of the testbed's nodes."""
PLUGIN = (
    "snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep",
    "throttler", "pandas", "numpy", "python-dateutil", "six",
)  # fmt: skip
"""The plugin and what the worker image does not have of its needs."""
PACKAGES = "/usr/local/lib/python3.13/dist-packages"
"""Where the worker image has Snakemake; nodes have the same Python."""
ACCOUNT = "local"
LIMIT_S = 1200


def install_packages(target: Path, *what: str, for_nodes: bool = True) -> None:
    """Put packages into a folder that a Python finds by PYTHONPATH.

    Args:
        target: The folder.
        what: Requirements and options of pip.
        for_nodes: For the Python of nodes; else for the one that runs this.

    Raises:
        RuntimeError: pip failed; what it said.
    """
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
    done = subprocess.run(
        [*argv, *(NODES if for_nodes else ()), *what], check=False, text=True, capture_output=True
    )
    if done.returncode:
        raise RuntimeError(f"pip could not install {' '.join(what)}: {done.stderr[-2000:]}")
    scripts = (target / "bin").glob("*") if for_nodes else ()
    for script in filter(Path.is_file, scripts):
        first, _, rest = script.read_bytes().partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            script.write_bytes(b"#!/usr/bin/python3\n" + rest)


@dataclass(frozen=True)
class LocalSnakemake:
    """Snakemake in the home of one of a centre's users: on the shared file system, without a container around it.

    Args:
        layout: The testbed.
        centre: The centre.
        folder: Its folder in the user's home.
    """

    layout: Layout
    centre: str
    folder: str

    @property
    def inside(self) -> str:
        """Its folder, as the centre's hosts see it."""
        return f"/home/{ACCOUNT}/{self.folder}"

    @property
    def outside(self) -> Path:
        """The same, as this machine sees it."""
        return self.layout.home(self.centre) / ACCOUNT / self.folder

    def install(self) -> None:
        """Copy Snakemake from the worker image, and add the plugin."""
        home = self.layout.home(self.centre)
        shutil.copy(ensure_sif("worker").sif, home / "worker.sif")
        shutil.rmtree(self.outside, ignore_errors=True)
        for name in ("bin", "work"):
            (self.outside / name).mkdir(parents=True)
        (self.outside / "bin" / "python").symlink_to("/usr/bin/python3")
        self.own()
        copy = ["apptainer", "exec", "--userns", "-B", self.inside, "/home/worker.sif"]
        copy += ["cp", "-r", PACKAGES, f"{self.inside}/lib"]
        self.layout.login(self.centre).run(copy, user=ACCOUNT, timeout_s=LIMIT_S)
        install_packages(self.outside / "lib", "--no-deps", *PLUGIN)

    def own(self) -> None:
        """Make all files in it the user's."""
        self.layout.login(self.centre).run(["chown", "-R", ACCOUNT, f"/home/{ACCOUNT}"])

    def run(self, *arguments: str, work: str = "work", on_node: bool = False, **environment: str) -> None:
        """Run Snakemake on the login host, or on the first node.

        Args:
            arguments: Its arguments.
            work: The folder, in this one, with the Snakefile.
            on_node: Whether it runs on the node.
            environment: What it finds in its environment beside the usual.

        Raises:
            RuntimeError: It failed; the end of what it said.
        """
        node, login = self.layout.nodes(self.centre)[0], self.layout.login(self.centre)
        env = {
            "PATH": f"{self.inside}/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{self.inside}/lib",
            **environment,
        }
        argv = ["/usr/bin/python3", "-m", "snakemake", "--directory", f"{self.inside}/{work}"]
        argv += ["--snakefile", f"{self.inside}/{work}/Snakefile", *arguments]
        host = node if on_node else login
        done = host.run(argv, user=ACCOUNT, env=env, check=False, timeout_s=LIMIT_S)
        if done.returncode:
            raise RuntimeError(f"Snakemake at {self.centre}: {done.stderr[-3000:]}")


SLURM = (
    "--executor", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue",
    "--default-resources", "slurm_partition=main", "--latency-wait", "10",
    "--shared-fs-usage", "input-output", "persistence", "sources", "source-cache", "storage-local-copies",
)  # fmt: skip
"""The slurm plugin as it has to be called where Slurm keeps no accounts; all else is its default."""
