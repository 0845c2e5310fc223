"""`docs/how-to/run-pilots.md`, as a site admin follows it: every command of the page is run, in order, in one shell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.pilots.sites import Site

from fallow_testbed import centre as testbed_centre
from fallow_testbed import hub

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "run-pilots.md"
STATE = "/home/pilot/fallow-state"
POLICY = "/home/pilot/page.toml"
MARK = "<<end of the command, code "


@dataclass(frozen=True)
class Ran:
    """One command of the page, its exit code and what it said."""

    command: str
    code: int
    said: str


def blocks(kind: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def commands() -> list[str]:
    """What is typed on the page, in order."""
    return [
        line.removeprefix("$ ")
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def in_testbed(text: str, site: Site) -> str:
    """The page's words for this centre of the testbed: other names, and a certificate authority of its own."""
    text = text.replace('"alder"', f'"{site.name}"').replace("alder-1", f"{site.name}-1")
    text = text.replace("https://hub.example.org:8443", hub.GATEWAY_URL).replace("~/policy.toml", POLICY)
    return re.sub(r"(?m)^(token_file = .*)$", r'\1\nca_file = "/home/pilot/ca.pem"', text)


@pytest.fixture(scope="module")
def page(site: Callable[[str], Site]) -> Iterator[dict[str, Ran]]:
    """All commands, run at `cedar` in place of its own launcher."""
    cedar = site("cedar")
    cedar.fallow("withdraw", "--now")
    cedar.kill_launcher()
    (policy,) = blocks("toml")
    home = cedar.layout.home("cedar") / testbed_centre.ACCOUNT
    (home / Path(POLICY).name).write_text(in_testbed(policy, cedar))
    script = "".join(f"{in_testbed(command, cedar)} 2>&1; echo '{MARK}'$?\n" for command in commands())
    try:
        done = cedar.login.run(
            ["bash"], user=testbed_centre.ACCOUNT, stdin=script, timeout_s=400, check=False
        )
        said = re.split(rf"{re.escape(MARK)}([0-9]+)\n", done.stdout)
        yield {
            command: Ran(command, int(code), text)
            for command, text, code in zip(commands(), said[::2], said[1::2], strict=False)
        }
    finally:
        env = {"FALLOW_POLICY": POLICY}
        again = ["fallow", "pilot", "withdraw", "--now"]
        cedar.login.run(again, user=testbed_centre.ACCOUNT, env=env, check=False)
        cedar.login.run(["rm", "-rf", STATE, POLICY])
        cedar.fallow("resume")
        cedar.start_launcher()


def test_every_command_of_the_page_works(page: dict[str, Ran]) -> None:
    assert list(page) == commands()
    assert {ran.command: ran.said for ran in page.values() if ran.code != 0} == {}


def test_the_page_leads_to_a_pilot(page: dict[str, Ran]) -> None:
    assert "1 pilots would start" in page["fallow pilot run --dry-run"].said
    assert "sbatch" in page["fallow pilot run --dry-run"].said
    assert "cedar-1" in page["fallow pilot list"].said
    assert "fallow-c" in page["squeue --me"].said


def test_the_page_takes_the_capacity_back(page: dict[str, Ran]) -> None:
    assert "The capacity is free; it took" in page["fallow pilot withdraw --now"].said
