"""The policy's conditions as what people read and what the pool enforces: clauses of a pilot's START.

Every value comes from the validated policy, whose patterns admit nothing that could end a ClassAd string. A
job that does not say what a clause asks for is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fallow.offers import Condition
from fallow_pilots.policy import Conditions, Policy

LONGEST_SENTENCE = 500
LONGEST_REQUIREMENT = 2000

SEGMENT = "[a-z0-9]+([._-]+[a-z0-9]+)*"
"""One part of a repository's path: it cannot be `..`."""


@dataclass(frozen=True)
class Clause:
    """One condition: its name in the policy, what people read, and the clause of START that enforces it."""

    name: str
    sentence: str
    requirement: str

    def shown(self) -> Condition:
        """As an offer shows it; what is too long for an offer is enforced all the same."""
        sentence = self.sentence
        if len(sentence) > LONGEST_SENTENCE:
            sentence = f"{sentence[: LONGEST_SENTENCE - 1]}…"
        fits = len(self.requirement) <= LONGEST_REQUIREMENT
        return Condition(sentence=sentence, requirement=self.requirement if fits else "")


def conditions_of(policy: Policy) -> list[Clause]:
    """The conditions under which the centre's pilots take a job; all must hold."""
    wanted = policy.conditions
    return [*named(wanted), *_images(wanted), *_demands(wanted)]


def named(wanted: Conditions) -> Iterator[Clause]:
    """What is taken or refused by name; who submits a job cannot choose its centre, and its project only as a member."""
    for name, attribute, what in (
        ("work_types", "FallowWorkType", "of the work types"),
        ("centres", "FallowUserCentre", "of users from"),
        ("projects", "FallowProject", "of the projects"),
    ):
        taken, refused = getattr(wanted, name), getattr(wanted, f"refused_{name}")
        if taken:
            sentence = f"Only jobs {what} {', '.join(taken)}."
            yield Clause(f"conditions.{name}", sentence, _any_of(f"TARGET.{attribute}", taken))
        if refused:
            says = "" if name == "projects" else f"isString(TARGET.{attribute}) && "
            requirement = f"({says}!{_any_of(f'TARGET.{attribute}', refused)})"
            yield Clause(f"conditions.refused_{name}", f"No jobs {what} {', '.join(refused)}.", requirement)


def _images(wanted: Conditions) -> Iterator[Clause]:
    ways, words = [], []
    if wanted.digests:
        paths = tuple(f"/fallow/images/{digest.replace(':', '-')}.sif" for digest in wanted.digests)
        listed = ",".join(wanted.digests)
        ways.append(
            f"({_any_of('TARGET.ContainerImage', paths)} && (isUndefined(TARGET.FallowImages) || "
            f'stringListSubsetMatch(TARGET.FallowImages, "{listed}", " ,")))'
        )
        words.append(f"{len(wanted.digests)} named images")
    if wanted.registries:
        source = f"({'|'.join(map(_repositories, wanted.registries))})"
        ways.append(f'(regexp("^{source}( {source})*$", TARGET.FallowImageSource) =?= true)')
        words.append(f"images that lie in {', '.join(wanted.registries)}")
    if ways:
        yield Clause("conditions.images", f"Only {' and '.join(words)}.", f"({' || '.join(ways)})")


def _repositories(prefix: str) -> str:
    """A regular expression for the repositories below a prefix, or the one that it names."""
    start = prefix.rstrip("/").replace(".", "[.]")
    return f"{start}(/{SEGMENT}){'+' if prefix.endswith('/') else '*'}"


def _demands(wanted: Conditions) -> Iterator[Clause]:
    if wanted.max_job_s is not None:
        yield Clause(
            "conditions.max_job_s",
            f"Only jobs that ask for at most {wanted.max_job_s} s.",
            f"((TARGET.FallowWalltime <= {wanted.max_job_s}) =?= true)",
        )
    if wanted.gpu_models:
        models = _any_of("MY.FallowGpuModel", wanted.gpu_models)
        yield Clause(
            "conditions.gpu_models",
            f"GPUs of the models {', '.join(wanted.gpu_models)} only.",
            f"((TARGET.RequestGPUs ?: 0) =?= 0 || {models})",
        )
    if not wanted.outbound_network:
        yield Clause(
            "conditions.outbound_network",
            "Only jobs that declare to need no network; they get none.",
            "(TARGET.FallowNetwork =?= false)",
        )


def _any_of(attribute: str, values: tuple[str, ...]) -> str:
    return "(" + " || ".join(f'{attribute} =?= "{value}"' for value in values) + ")"
