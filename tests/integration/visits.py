"""A window of a real browser, as a person at the desk has it, in which nothing may go wrong.

Screenshots lie in `build/board/` afterwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, ViewportSize, expect, sync_playwright

from fallow_testbed import hub, issuer
from fallow_testbed.spec import HUB_ADDRESS

PICTURES = Path(__file__).parents[2] / "build" / "board"
URL = hub.GATEWAY_URL
LOOKS: dict[str, ViewportSize] = {
    "": {"width": 1280, "height": 720},
    "-phone-dark": {"width": 360, "height": 740},
}
"""How every page is looked at."""
PATIENCE_MS = 120_000
"""A machine that does much else at once is slow; what is right comes as soon as it can."""


@dataclass
class Visit:
    """One window of one person."""

    context: BrowserContext
    page: Page
    said: list[str] = field(default_factory=list)
    """What must not happen: dialogs and errors of scripts, what the policy stopped, requests to elsewhere."""

    def shown(self, name: str) -> None:
        """Take pictures of the page on a desk and on a phone in the dark, each held against the rules of accessibility."""
        page = self.page
        for look, size in LOOKS.items():
            page.set_viewport_size(size)
            page.emulate_media(color_scheme="dark" if "dark" in look else "light")
            page.screenshot(path=PICTURES / f"{name}{look}.png", full_page=True)
            found = Axe().run(page)
            serious = [
                one["id"] for one in found.response["violations"] if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], found.generate_report()
            wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert page.evaluate(wide), f"the page is wider than the screen: {name}{look}"
        page.set_viewport_size(LOOKS[""])
        page.emulate_media(color_scheme="light")

    def log_in(self, person: str) -> None:
        """From the page to the issuer and back."""
        self.page.goto(f"{URL}/")
        self.page.get_by_role("link", name="Log in").click()
        self.page.fill("[name=user]", person)
        self.page.fill("[name=password]", issuer.password(person))
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{URL}/me")

    def press(self, name: str) -> None:
        """Press a button and wait for what comes."""
        self.page.get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_load_state()

    @property
    def cookie(self) -> str:
        """The session's cookie."""
        return next((one["value"] for one in self.context.cookies() if one["name"] == "__Host-fallow"), "")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium; called with the desk's network."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        arguments = [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            f"--host-resolver-rules=MAP hub {HUB_ADDRESS}",
        ]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, **how: Any) -> Iterator[Visit]:
    """A window of its own, in which nothing may go wrong."""
    context = browser.new_context(ignore_https_errors=True, **how)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = Visit(context, page)

    def opened(dialog: Dialog) -> None:
        visit.said.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", opened)
    page.on("pageerror", lambda error: visit.said.append(str(error)))
    page.on("console", lambda told: visit.said.append(told.text) if "Security" in told.text else None)
    page.on("request", lambda sent: visit.said.append(sent.url) if "//hub:" not in sent.url else None)
    try:
        yield visit
    except Exception as error:
        page.screenshot(path=PICTURES / "failed.png", full_page=True)
        shown = page.evaluate("document.body.innerText")
        raise AssertionError(f"{error}\n\nThe page at that moment, {page.url}:\n{shown}") from error
    assert visit.said == []
    context.close()
