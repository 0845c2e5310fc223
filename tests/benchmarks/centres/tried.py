"""A centre that is tried, and what is seen of it while nothing goes wrong."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.closed import Centre
from tests.integration.security.conftest import ran
from tests.integration.security.test_payload import payload, planted
from tests.integration.test_demo import variants
from tests.integration.test_executor import Workflow

from fallow.errors import FallowError
from fallow_testbed import cvmfs, demo_data
from fallow_testbed.demo import report
from fallow_testbed.demo.run import FALLOW
from fallow_testbed.images import ensure_sif
from fallow_testbed.progress import Progress
from fallow_testbed.wait import wait_until

VARIANTS = "results/variants.vcf"
TOLD = {"scratch_mb": "diskless", "fuse": "isolation", "cvmfs": "cvmfs"}
"""The finding of the node check that speaks of what a centre lacks."""
BROKEN = 500
DEMO_S = 900
SMALL = ("--default-resources", "disk_mb=300")
"""What a user asks for who wants to get into nodes without disks."""


@dataclass
class Tried:
    """A centre of a kind.

    Args:
        kind: The kind.
        centre: The centre, with its person.
        place: Where that person's jobs run: there, or at the open centre where pilots must refuse payloads.
    """

    kind: str
    centre: Centre
    place: Centre
    seen: dict[str, Any] = field(default_factory=dict)
    """What was seen, for the JSON."""
    wrong: list[str] = field(default_factory=list)
    """What should not have been seen, in words."""

    @property
    def takes_work(self) -> bool:
        """Whether its pilots may run payloads."""
        return self.centre.declared.user_namespaces

    def expect(self, good: bool, words: str) -> None:
        """Note what is wrong."""
        if not good:
            self.wrong.append(words)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what fails here, so that the other centres are tried all the same."""
        try:
            yield
        except (FallowError, AssertionError, OSError, subprocess.SubprocessError) as error:
            self.wrong.append(str(error)[-1500:])


def join(one: Tried) -> None:
    """Wait for the centre's pilots, or for their refusal; note what they say of what the centre lacks."""
    site = one.centre.site
    one.seen["profile"] = one.centre.profile
    if not one.takes_work:
        wait_until(lambda: bool(site.pilots(code=BROKEN)), f"the refusal of {site.name}", 240, 0.5)
        one.seen |= {"refuses": True, "told": [site.pilots(code=BROKEN)[0]["reason"]]}
        return
    name = site.wait_for_pilots(one.centre.declared.nodes, 300)[0]["pilot"]
    path = f"/home/pilot/state/pilots/{name}/node.json"
    checked = json.loads(site.login.run(["cat", path]).stdout)
    about = {TOLD[lack] for lack in one.centre.declared.model_fields_set if lack in TOLD}
    one.seen["told"] = [each["words"] for each in checked["findings"] if each["check"] in about]


def read_repository(one: Tried) -> None:
    """Where CVMFS is mounted, a job that asks for a repository and not for a centre comes and reads it."""
    if one.centre.declared.cvmfs != "mounted":
        return
    ask = f'stringListMember("{cvmfs.REPOSITORY}", TARGET.FallowCvmfs)'
    read = ("grep", "-q", "every machine", f"{cvmfs.PLACE}/README.eessi")
    done = one.centre.submit({"read": read}, centre=None, requirements=ask).wait_done(300)
    one.expect(done["read"].centre == one.centre.name, f"the repository was read at {done['read'].centre}")


def search(one: Tried, stranger: str, folder: Path) -> None:
    """A payload of another centre's person searches for tokens and planted secrets wherever it gets."""
    if not one.takes_work:
        return
    folder.mkdir()
    jobs = {"search": payload("search", centre=one.centre.name)}
    with ExitStack() as stack:
        for node in one.centre.bed.layout().nodes(one.centre.name):
            stack.enter_context(planted(node))
        outcome = one.centre.at(stranger, ran, jobs, one.centre.image, folder, 300)["search"]
    one.expect(outcome.record.succeeded, f"the search did not end well: {outcome}")
    said = json.loads(outcome.stdout or '{"found": [], "looked": {}}')
    one.seen |= {"secrets": said["found"], "looked": said["looked"]}
    one.expect(not said["found"], f"a payload reads {said['found']}")
    blind = [kind for kind in ("environ", "fd", "cmdline", "mountinfo") if not said["looked"].get(kind)]
    one.expect(not blind, f"the search saw no {', '.join(blind)}")


def expected_variants(folder: Path) -> list[str]:
    """The demo's variants, by a run on this machine alone."""
    demo_data.prepare(folder, Progress())
    demo_data.run_here(folder, [VARIANTS])
    return variants(folder / VARIANTS)


def run_demos(tried: Sequence[Tried], expected: list[str], folder: Path) -> None:
    """The demo's workflow of each centre's person, all at the same time."""
    running: dict[str, tuple[Workflow, subprocess.Popen[bytes], float]] = {}
    worker = ensure_sif("worker").sif
    for one in tried:
        directory = folder / f"demo-{one.centre.name}"
        demo_data.prepare(directory, Progress())
        options = ("--fallow-centre", one.place.name, *SMALL)
        workflow = Workflow(one.centre.bed, directory, worker, *options, person=one.place.person)
        workflow.desk(FALLOW, "storage", "put", "--to", directory.name, "input")
        running[one.kind] = workflow, workflow.start(), time.monotonic()
    for one in tried:
        workflow, process, began = running[one.kind]
        with one.noting():
            code = process.wait(timeout=DEMO_S)
            one.seen["demo_s"] = round(time.monotonic() - began)
            assert code == 0, f"the workflow ended with {code}: {workflow.log.read_text()[-1200:]}"
            _judge(one, workflow, expected)


def _judge(one: Tried, workflow: Workflow, expected: list[str]) -> None:
    workflow.result(VARIANTS)
    found = variants(workflow.directory / "fetched" / VARIANTS)
    jobs = report.read_run(workflow.directory / ".snakemake" / "fallow")
    one.seen |= {"variants": len(found), "demo_jobs": len(jobs)}
    one.expect(found == expected, f"{len(found)} variants are not the {len(expected)} of a local run")
    elsewhere = {job["centre"] for job in jobs} - {one.place.name}
    one.expect(not elsewhere, f"jobs of the workflow ran at {elsewhere}")
