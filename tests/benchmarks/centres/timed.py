"""No-op container jobs at one centre of several, the others withdrawn."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.bench_short_jobs import place
from tests.benchmarks.short_jobs.federated import Fallow
from tests.integration.closed import Centre


def fallow(centre: Centre, folder: Path, *inputs: Path) -> Fallow:
    """The jobs of a centre's person there.

    Args:
        centre: The centre.
        folder: Where complaints go.
        inputs: Files that go with each job.
    """
    bed = centre.bed
    where = place(bed, bed.layout(), centre.name)
    return Fallow(where, centre.name, folder, centre.site, centre.image, centre.person, inputs)
