"""What watches process families survives the signal with which a batch system ends a job."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fallow_pilots.node.launcher import Values, write
from fallow_pilots.node.layout import Layout


def test_a_signal_to_all_processes_spares_the_procd(place: Layout, tmp_path: Path) -> None:
    programs = tmp_path / "sbin"
    programs.mkdir()
    procd = programs / "condor_procd"
    procd.write_text('#!/bin/sh\nkill -TERM $$\necho "still here: $1"\n')
    procd.chmod(0o755)
    values = Values(
        apptainer=Path("/usr/bin/apptainer"),
        version="apptainer version 1.4.5",
        libexec=Path("/usr/libexec/condor"),
        starter=programs / "condor_starter",
        store=tmp_path / "store",
        check_image=tmp_path / "check.sif",
        binds=(),
        user_processes=4096,
        job_processes=256,
    )
    write(place, values)
    done = subprocess.run([place.procd, "-A"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "still here: -A\n")
