"""A Slurm that does what a test says: its programs on PATH, their state in one JSON file beside them.

Only for faults and odd answers that a real Slurm cannot be made to show.
"""

import fcntl
import json
import os
import signal
import sys
from pathlib import Path

STATE = Path(__file__).with_name("state.json")
program = Path(sys.argv[0]).name
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
operands = [word for word in sys.argv[1:] if not word.startswith("-")]

with STATE.with_name("lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    state = json.loads(STATE.read_text())
    state["calls"].append(sys.argv)
    state["environment"] = sorted(os.environ)
    fault = state["faults"].get(program, {})
    jobs = state["jobs"]
    printed = ""
    if fault.get("before"):
        pass
    elif program == "sbatch":
        number = str(len(jobs) + 1)
        jobs[number] = {
            "name": options["job-name"],
            "state": "PENDING" if state["held"] else "RUNNING",
            "node": "" if state["held"] else f"n{number}",
            "cores": int(options["cpus-per-task"]),
        }
        printed = f"{number}\n"
    elif program == "squeue" and "PENDING" in options.get("states", ""):
        printed = "PARTITION|REASON|NAME\n" + "".join(f"main|{why}|wrap\n" for why in state["waiting"])
    elif program == "squeue":
        printed = "JOBID|STATE|START_TIME|NODELIST|NAME|REASON\n"
        for number, job in jobs.items():
            if not job.get("purged"):
                start = "N/A" if job["state"] == "PENDING" else "Unknown"
                reason = job.get("reason", "None")
                printed += f"{number}|{job['state']}|{start}|{job['node']}|{job['name']}|{reason}\n"
    elif program == "sinfo":
        printed = "HOSTNAMES|STATE|CPUS(A/I/O/T)|MEMORY|ALLOCMEM|GRES|GRES_USED|AVAIL|\n"
        taken = {job["node"] for job in jobs.values() if job["state"] == "RUNNING"}
        for index in range(1, state["nodes"] + 1):
            name = f"n{index}"
            word, counts = ("allocated", "4/0/0/4") if name in taken else ("idle", "0/4/0/4")
            printed += f"{name}|{word}|{counts}|8000|0|(null)|(null)|up|\n"
    elif program == "scontrol":
        printed = "No reservations in the system\n"
    elif program == "scancel":
        for number in operands:
            job = jobs.get(number)
            if job and job["state"] in {"PENDING", "RUNNING"}:
                job.setdefault("signals", []).append(options.get("signal", "cancel"))
                if "signal" not in options or options["signal"] in state["obeyed"]:
                    job["state"] = "CANCELLED" if "signal" not in options else "COMPLETED"
    state["calls"] = state["calls"][-200:]
    draft = STATE.with_name(f"draft-{os.getpid()}")
    draft.write_text(json.dumps(state))
    draft.replace(STATE)

if fault.get("hang"):
    signal.pause()
sys.stdout.write(fault.get("prints", printed))
sys.stderr.write(fault.get("complains", ""))
sys.exit(fault.get("code", 0))
