"""The client's side of a federation's HTCondor queue: submit, follow, remove, fetch.

What jobs are is here; whoever asks a queue opens it by `fallow.queue.hub`, which brings the libraries for it.
"""

from fallow.queue.records import JobRecord, JobState
from fallow.queue.spec import JobSpec

__all__ = ["JobRecord", "JobSpec", "JobState"]
