import json
import stat
import subprocess
import sys
from pathlib import Path

from snakemake_executor_plugin_fallow.spool import DESCRIPTION, PROGRAM, SpoolArea


def test_a_jobs_only_file_is_private_and_gone_once_the_queue_has_it(tmp_path: Path) -> None:
    area = SpoolArea(tmp_path / "spool")
    [sent] = area.put("k", "{}")
    assert (sent.name, stat.S_IMODE(sent.stat().st_mode)) == (PROGRAM, 0o600)
    area.clear("k")
    assert not sent.exists()


def test_on_the_node_the_file_becomes_the_script_and_what_it_needs(tmp_path: Path) -> None:
    [sent] = SpoolArea(tmp_path / "spool").put("k", json.dumps({"expires": 1.0}))
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    (sandbox / PROGRAM).write_bytes(sent.read_bytes())
    done = subprocess.run([sys.executable, PROGRAM], cwd=sandbox, capture_output=True, text=True, check=False)
    assert done.returncode == 76, done.stderr  # the script's own word for credentials that have expired
    left = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sandbox.iterdir()}
    assert left["fallow_job.py"] == 0o600
    assert not {PROGRAM, DESCRIPTION} & set(left)
