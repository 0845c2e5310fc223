"""The hub's page in a real browser: what each person sees and does there, and what nobody can make it do."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests import monitoring
from tests.integration.campaigns import work
from tests.integration.conftest import inside
from tests.integration.test_ledger import kill
from tests.integration.visits import PICTURES, URL, Visit, browsing, visiting

from fallow.campaigns.messages import RowState
from fallow.capacity_requests import CapacityRequest, Wanted
from fallow.client import client_settings, connect
from fallow.queue.hub import open_queue
from fallow.queue.records import JobState
from fallow.queue.spec import JobSpec
from fallow.storage.transfer import put_object
from fallow_testbed import centre, hub, issuer
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
DOCUMENT = """
name = "{name}"
image = "{image}"
notes = '''{attack}'''
[table]
file = "rows.jsonl"
[job]
command = ["sh", "-c", "echo '<script>alert(2)</script>'; exit $0", "{{code}}"]
memory_mb = 256
disk_mb = 256
walltime_s = 300
"""


@pytest.fixture(scope="module")
def browse(bed: Testbed) -> Callable[..., Any]:
    """`browse(function, *arguments)`: call a function where a browser reaches the hub as the desk does."""
    if shutil.which("chromium") is None:
        pytest.fail("Chromium is missing. Install it: apt-get install chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    return lambda function, *arguments: inside(
        bed.host("desk"), {}, function, *arguments, namespaces=("net",)
    )


def wrongly_named(image: str, folder: Path) -> str:
    """Submit a job that no centre can run, under a hostile name; called at the desk."""
    spec = JobSpec(
        run="board", key=secrets.token_hex(4), name=ATTACK, image=image, directory=folder, argv=("true",), cores=64,
        memory_mb=256, disk_mb=256, walltime_s=300,
    )  # fmt: skip
    return open_queue(connect()).submit([spec])[0]


def talking(image: str, folder: Path) -> str:
    """Submit a job that runs on, and tells what it writes; called at the desk."""
    hub = connect()
    access = hub.storage()
    key = f"{access.prefix}board-{secrets.token_hex(4)}"
    note = {"began": 1.0, "said": {"stdout": {"bytes": 99, "text": f"at work {ATTACK}"}}}
    put_object(access, key, json.dumps(note), ca_file=client_settings().ca_file)
    spec = JobSpec(
        run="board", key=secrets.token_hex(4), name="talks", image=image, directory=folder, argv=("sleep", "600"),
        memory_mb=256, disk_mb=256, walltime_s=900, notes=f"s3://{access.bucket}/{key}",
    )  # fmt: skip
    return open_queue(hub).submit([spec])[0]


def short(image: str, folder: Path) -> list[str]:
    """Submit two jobs that write something and end; called at the desk."""
    said = ("sh", "-c", f"echo {shlex.quote(ATTACK)}; echo warning >&2")
    specs = [
        JobSpec(
            run="board", key=secrets.token_hex(4), name="short", image=image, directory=folder, argv=said,
            memory_mb=256, disk_mb=256, walltime_s=300,
        )
        for _ in range(2)
    ]  # fmt: skip
    return open_queue(connect()).submit(specs)


def states(*jobs: str) -> dict[str, JobState]:
    """Where those of the jobs are that are in the queue; called at the desk."""
    return {one.id: one.state for one in open_queue(connect()).jobs() if one.id in jobs}


def taken(job: str) -> None:
    """Take the result of a job, as a workflow does; called at the desk."""
    open_queue(connect()).take([job])


def left(*jobs: str) -> None:
    """Remove what a test did not; called at the desk."""
    open_queue(connect()).remove(ids=list(jobs))


@dataclass(frozen=True)
class Work:
    """What alice has in the federation."""

    campaign: str
    job: str
    talks: str
    """A job that runs and tells what it writes."""
    finished: str
    taken: str
    """A job that finished and whose result has been taken."""


@pytest.fixture(scope="module")
def alices(at: Callable[..., Any], image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """A campaign with a good row and a hostile one that failed, and a job that waits."""
    folder = tmp_path_factory.mktemp("board")
    name = f"board-{secrets.token_hex(3)}"
    (folder / "campaign.toml").write_text(DOCUMENT.format(name=name, image=image, attack=ATTACK))
    (folder / "rows.jsonl").write_text('{"id": "good", "code": 0}\n{"id": "<b>bad</b>", "code": 3}\n')
    at("alice", work.inject, folder / "campaign.toml")
    finished, gone = at("alice", short, image, folder)
    job, talks = at("alice", wrongly_named, image, folder), at("alice", talking, image, folder)
    ended = {RowState.DONE.value: 1, RowState.FAILED.value: 1}
    wait_until(lambda: at("alice", work.states, name) == ended, "The end of both rows", 240, 1)
    awaited = {finished: JobState.FINISHED, gone: JobState.FINISHED, talks: JobState.RUNNING}
    wait_until(lambda: at("alice", states, *awaited) == awaited, "The jobs", 240, 1)
    at("alice", taken, gone)
    wait_until(lambda: not at("alice", states, gone), "The end of the job in the queue", 120, 1)
    yield Work(name, job, talks, finished, gone)
    at("alice", taken, finished)
    at("alice", left, job, talks)


def anybody() -> None:
    """The page without a login, also in a browser without scripts."""
    with browsing() as browser:
        with visiting(browser) as visit:
            visit.page.goto(f"{URL}/")
            expect(visit.page.get_by_role("heading", level=1)).to_have_text("testbed")
            for centre in ("alder", "birch", "cedar"):
                expect(visit.page.locator("#capacity").get_by_role("rowheader", name=centre)).to_be_visible()
            visit.shown("federation")
            # A section that is put wrong is put right by the stream, which begins with all of them.
            visit.page.evaluate("document.getElementById('at').textContent = 'never'")
            expect(visit.page.locator("#at")).not_to_have_text("never")
            visit.page.keyboard.press("Tab")
            expect(visit.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        with visiting(browser, java_script_enabled=False) as visit:
            visit.page.goto(f"{URL}/")
            expect(visit.page.locator("#rules")).to_contain_text("Version")
            visit.page.screenshot(path=PICTURES / "federation-no-script.png", full_page=True)


def user(mine: Work) -> None:
    """Alice looks at her campaign and her job, steers the one and takes back the other."""
    here = f"{URL}/me/campaigns/{mine.campaign}"
    with browsing() as browser, visiting(browser) as visit:
        visit.context.add_cookies([{"name": "__Host-fallow", "value": "planted", "url": URL, "secure": True}])
        visit.log_in("alice")
        assert visit.cookie not in ("", "planted")
        page = visit.page
        for group in ("Campaigns", "Jobs"):
            expect(page.get_by_role("group", name=group).get_by_role("cell", name=ATTACK)).to_be_visible()
        visit.shown("user")
        page.get_by_role("link", name=mine.campaign).click()
        expect(page.locator("main")).to_contain_text("1 of 2 rows are done, 1 failed")
        visit.shown("campaign")
        page.get_by_role("link", name="<b>bad</b>").first.click()
        expect(page.locator("pre").first).to_have_text("<script>alert(2)</script>\n")
        visit.shown("log")
        page.goto(f"{URL}/me/jobs/{mine.job}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(ATTACK)
        expect(page.locator("main")).to_contain_text("Needs 64 cores; birch offers 2 cores per node.")
        visit.shown("job")
        page.goto(f"{URL}/me/jobs/{mine.talks}")
        expect(page.locator("pre")).to_have_text(f"at work {ATTACK}")
        visit.shown("output")
        page.goto(f"{URL}/me/jobs/{mine.finished}")
        expect(page.locator("pre")).to_have_text([f"{ATTACK}\n", "warning\n"])
        visit.shown("finished")
        page.goto(f"{URL}/me/jobs/{mine.taken}")
        expect(page.locator("main")).to_contain_text("Its client has taken the output with the result.")
        page.goto(here)
        failed = page.get_by_role("group", name="Rows").get_by_role("row").filter(has_text="<b>bad</b>")
        failed.get_by_role("link", name=re.compile("[0-9]")).click()
        page.get_by_role("link", name="See what it wrote").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Log of ")
        foreign(visit, f"{here}/retry")
        page.goto(here)
        visit.press("Retry all that failed")
        expect(page.locator("main")).to_contain_text("0 failed")
        visit.press("Pause")
        expect(page.locator("main")).to_contain_text("Paused by alice.")
        visit.press("Go on")
        page.goto(f"{URL}/me/jobs/{mine.job}")
        visit.press("Cancel")
        page.goto(f"{URL}/me")
        expect(page.get_by_role("link", name=mine.job, exact=True)).to_have_count(0)
        expect(page.get_by_role("link", name=mine.talks, exact=True)).to_be_visible()
        elsewhere = visit.context.new_page()
        elsewhere.goto(f"{URL}/me/jobs/{mine.talks}")
        elsewhere.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_role("link", name=mine.talks, exact=True)).to_have_count(
            0
        )  # nobody loads it again
        elsewhere.close()
        kept = visit.cookie
        visit.press("Log out")
        visit.context.add_cookies([{"name": "__Host-fallow", "value": kept, "url": URL, "secure": True}])
        assert page.goto(f"{URL}/me").status == 401  # type: ignore[union-attr]


def foreign(visit: Visit, path: str) -> None:
    """A form of another site, sent by a browser that is logged in here, does nothing."""
    other = visit.context.new_page()
    other.set_content(f'<form method="post" action="{path}"><button>Win</button></form>')
    with other.expect_navigation() as sent:
        other.get_by_role("button").click()
    assert sent.value.status in (401, 403)
    other.close()


def admin() -> None:
    """The admin of alder sees alder's pilots, and asks for them to be withdrawn."""
    with browsing() as browser, visiting(browser) as visit:
        visit.log_in(issuer.admin_account("alder"))
        visit.page.get_by_role("link", name="My centre").click()
        # A pilot reports when it ends, so there may be none yet.
        assert all(
            name.startswith("alder-") for name in visit.page.get_by_role("rowheader").all_inner_texts()
        )
        expect(visit.page.get_by_role("heading", name="How soon capacity comes back")).to_be_visible()
        elsewhere = visit.context.new_page()
        elsewhere.goto(f"{URL}/me/centre")
        elsewhere.get_by_role("button", name="Ask to resume").click()
        # Nobody loads the first page again.
        expect(visit.page.locator("main")).to_contain_text("to resume.")
        elsewhere.close()
        visit.page.fill("[name=why]", ATTACK)
        visit.press("Ask to withdraw")
        expect(visit.page.locator(".problem")).to_contain_text(f"to withdraw: {ATTACK}.")
        expect(visit.page.locator(".problem")).to_contain_text("Nobody at the centre has done it yet.")
        visit.shown("centre")
        assert visit.page.goto(f"{URL}/me/hub").status == 403  # type: ignore[union-attr]


def operator() -> None:
    """The operator sees that every part is well."""
    with browsing() as browser, visiting(browser) as visit:
        visit.log_in(issuer.OPERATOR)
        visit.page.get_by_role("link", name="The hub").click()
        expect(visit.page.locator("main")).to_contain_text("queue well")
        expect(visit.page.locator("main")).not_to_contain_text("NOT WELL")
        expect(visit.page.locator("main")).to_contain_text("alder's launcher until 20")
        visit.shown("hub")
        decided = visit.page.get_by_text("decided").inner_text()
        expect(visit.page.locator("main")).not_to_contain_text(decided)  # nobody loads it again


def stranger(mine: Work) -> None:
    """Bob of birch sees nothing of alice's."""
    with browsing() as browser, visiting(browser) as visit:
        visit.log_in("bob")
        for path in (f"/me/campaigns/{mine.campaign}", f"/me/jobs/{mine.job}", f"/me/jobs/{mine.finished}"):
            assert visit.page.goto(f"{URL}{path}").status == 404  # type: ignore[union-attr]


def test_anybody_reads_the_federations_page(browse: Callable[..., Any]) -> None:
    browse(anybody)


def test_others_see_nothing_of_a_users_work(browse: Callable[..., Any], alices: Work) -> None:
    browse(stranger, alices)


def test_a_user_looks_at_and_steers_the_own_work(browse: Callable[..., Any], alices: Work) -> None:
    browse(user, alices)


def requested(token: str) -> list[CapacityRequest]:
    """What was asked of alder, as its launcher sees it; called at the desk."""
    os.environ["BEARER_TOKEN"] = token
    return connect().capacity_requests("alder").requests


def test_an_admin_sees_the_own_pilots_and_asks_the_centre_which_gives_as_before(
    browse: Callable[..., Any], at: Callable[..., Any], hub_host: Host
) -> None:
    browse(admin)
    token = issuer.token(hub_host, issuer.launcher_account("alder"), URL)
    (asked,) = at("alice", requested, token)
    assert (asked.wanted, asked.by, asked.why) == (Wanted.WITHDRAW, "alder.admin-alder", ATTACK)
    assert not asked.done


def entered() -> Any:
    """What bob's browser keeps after a login."""
    with browsing() as browser, visiting(browser) as visit:
        visit.log_in("bob")
        return visit.context.storage_state()


def still_there(kept: Any) -> None:
    """Bob is logged in by what his browser kept."""
    with browsing() as browser, visiting(browser, storage_state=kept) as visit:
        visit.page.goto(f"{URL}/me")
        expect(visit.page.get_by_role("navigation")).to_contain_text("birch.bob")


def test_people_stay_logged_in_when_the_gateway_is_started_anew(
    browse: Callable[..., Any], hub_host: Host
) -> None:
    kept = browse(entered)
    kill(hub_host, "hub gateway")
    hub.start_gateway(hub_host)
    browse(still_there, kept)


def test_an_operator_sees_how_the_hub_is(browse: Callable[..., Any]) -> None:
    browse(operator)


READ = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2]) if sys.argv[1].startswith("https:") else None
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=60, context=context).read().decode())
"""


def test_prometheus_can_read_gateway_matcher_and_launcher(bed: Testbed, hub_host: Host) -> None:
    def check(line: str, host: Host, argv: list[str]) -> None:
        wait_until(lambda: line in host.run(argv, check=False).stdout, line, 60)
        monitoring.promtool(PICTURES.parent, "check", "metrics", told=host.run(argv).stdout)

    for url, line in {
        f"{URL}/metrics": 'fallow_centre_offer{centre="alder"} 1.0',
        f"http://127.0.0.1:{hub.MATCHER_METRICS_PORT}/metrics": 'fallow_matcher_cycles_total{result="decided"}',
    }.items():
        check(line, hub_host, ["python3", "-c", READ, url, f"{hub.TLS}/ca.pem"])
    file = f"{centre.METRICS}/fallow_launcher_alder.prom"
    well = 'fallow_launcher_trouble{centre="alder",side="hub"} 0.0'
    check(well, bed.host("alder"), ["cat", file])
