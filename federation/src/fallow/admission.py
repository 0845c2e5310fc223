"""What every pilot asks of a job, whatever its centre's conditions: the first clauses of START.

Pilots enforce them, and the hub explains with them why a job waits; so both have them from here.
"""

from fallow.offers import Condition

IMAGE = "^/fallow/images/sha256-[0-9a-f]{64}[.]sif$"
"""What `ContainerImage` of an admissible job looks like."""

ADMISSION = (
    Condition(
        sentence="Only jobs in an image that is named by its digest.",
        requirement=f'regexp("{IMAGE}", TARGET.ContainerImage) =?= True',
    ),
    Condition(sentence="Only container jobs.", requirement="TARGET.JobUniverse == 5"),
    Condition(
        sentence="No job that runs a command outside of its container.",
        requirement="isUndefined(TARGET.PreCmd) && isUndefined(TARGET.PostCmd)",
    ),
    Condition(
        sentence="Only jobs that say how long they may run.",
        requirement="isInteger(TARGET.FallowWalltime) && TARGET.FallowWalltime > 0",
    ),
    Condition(
        sentence="Only jobs that end before the pilot does.",
        requirement="TARGET.FallowWalltime <= MY.FallowUntil - time()",
    ),
)
"""The conditions of every pilot, as ClassAd expressions; few attributes, for each splits the queue further."""
