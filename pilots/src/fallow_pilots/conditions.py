"""The policy's conditions as what people read and what the pool enforces: clauses of a pilot's START.

Every value comes from the validated policy, whose patterns admit nothing that could end a ClassAd string. A
job that does not say what a clause asks for is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from fallow.offers import Condition
from fallow_pilots.policy import Policy

LONGEST_SENTENCE = 500
LONGEST_REQUIREMENT = 2000


@dataclass(frozen=True)
class Clause:
    """One condition: what people read, and the clause of START that enforces it."""

    sentence: str
    requirement: str

    def shown(self) -> Condition:
        """As an offer shows it; what is too long for an offer is enforced all the same."""
        sentence = self.sentence
        if len(sentence) > LONGEST_SENTENCE:
            sentence = f"{sentence[: LONGEST_SENTENCE - 1]}…"
        fits = len(self.requirement) <= LONGEST_REQUIREMENT
        return Condition(sentence=sentence, requirement=self.requirement if fits else "")


def _any_of(attribute: str, values: tuple[str, ...]) -> str:
    return "(" + " || ".join(f'TARGET.{attribute} =?= "{value}"' for value in values) + ")"


def conditions_of(policy: Policy) -> list[Clause]:
    """The conditions under which the centre's pilots take a job; all must hold."""
    wanted = policy.conditions
    found: list[Clause] = []
    if wanted.work_types:
        found.append(
            Clause(
                sentence=f"Work types: {', '.join(wanted.work_types)}.",
                requirement=_any_of("FallowWorkType", wanted.work_types),
            )
        )
    if wanted.centres:
        found.append(
            Clause(
                sentence=f"Only jobs of users from {', '.join(wanted.centres)}.",
                requirement=_any_of("FallowUserCentre", wanted.centres),
            )
        )
    if wanted.refused_centres:
        found.append(
            Clause(
                sentence=f"No jobs of users from {', '.join(wanted.refused_centres)}.",
                requirement="(isString(TARGET.FallowUserCentre) && !"
                f"{_any_of('FallowUserCentre', wanted.refused_centres)})",
            )
        )
    if wanted.images:
        found.append(
            Clause(sentence=f"Only {len(wanted.images)} named images.", requirement=_images(wanted.images))
        )
    if wanted.max_job_s is not None:
        found.append(
            Clause(
                sentence=f"Jobs that ask for at most {wanted.max_job_s} s.",
                requirement=f"((TARGET.FallowWalltime <= {wanted.max_job_s}) =?= true)",
            )
        )
    return found


def _images(digests: tuple[str, ...]) -> str:
    paths = tuple(f"/fallow/images/{digest.replace(':', '-')}.sif" for digest in digests)
    listed = ",".join(digests)
    return (
        f"({_any_of('ContainerImage', paths)} && (isUndefined(TARGET.FallowImages) || "
        f'stringListSubsetMatch(TARGET.FallowImages, "{listed}", " ,")))'
    )
