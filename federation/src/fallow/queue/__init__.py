"""The client's side of a federation's HTCondor queue: submit, follow, remove, fetch."""

from fallow.queue.client import Queue
from fallow.queue.records import JobRecord, JobState
from fallow.queue.session import QueueToken
from fallow.queue.spec import JobSpec

__all__ = ["JobRecord", "JobSpec", "JobState", "Queue", "QueueToken"]
