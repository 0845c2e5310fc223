from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, subprocess, sys, time
from fallow_pilots.node import processes
processes.adopt_orphans()
# A daemon: its parent ends, it leaves the session and ignores every polite signal.
daemon = (
    "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print(os.getpid(), flush=True); time.sleep(600)"
)
parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {daemon!r}])"
starter = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
pid = int(starter.stdout.readline())
starter.wait()
found = pid in processes.descendants()
print(found, processes.end_all(30), processes.descendants() == [], os.path.exists(f"/proc/{pid}"))
"""


def test_no_daemon_outlives_the_pilot() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", "False"]
