"""How soon the hub's page is there, with many centres and many jobs.

Usage: python -m tests.benchmarks.bench_board [--centres N] [--jobs N] [--visits N]

A gateway over TLS on loopback has four weeks of capacity, as many runs in its ledger, and as many waiting jobs in the last
decision of its matcher. A headless Chromium with an empty cache opens the page again and again while the gateway goes on
making it. `first paint` is what Chromium says of First Contentful Paint. There is no queue: a page that asked it would fail.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import trustme
import uvicorn
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import Engine, insert
from tests.benchmarks.outcome import as_rows as table
from tests.benchmarks.outcome import conditions, tell
from tests.matcher.board.conftest import run
from tests.matcher.conftest import ISSUER, on_disk, raw_settings

from fallow.offers import Offer, Shape
from fallow_matcher.capacity.series import DAY_S
from fallow_matcher.capacity.tables import MEASURES, POINT
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build
from fallow_matcher.ledger.tables import EPOCH, RUN, STANDING
from fallow_matcher.matching.decision import Decision, Place, store
from fallow_matcher.settings import HubSettings

TITLE = "The hub's page"
WORK_TYPES = ("analysis", "production", "test", "urgent")


def filled(database: Engine, centres: list[str], jobs: int, now: float) -> None:
    """Four weeks of capacity, a ledger with so many runs, and balances."""
    luck = random.Random(1)
    spans = [(60, 0, DAY_S), (600, DAY_S, 14 * DAY_S), (3600, 14 * DAY_S, 28 * DAY_S)]
    points = [
        {"span_s": span, "at": int(now) - back, "centre": centre, "samples": 1}
        | dict.fromkeys(MEASURES, 1.0)
        | {
            "cores_offered": 400.0,
            "cores_running": luck.uniform(100, 400),
            "cores_used": luck.uniform(0, 100),
        }
        for span, first, last in spans
        for back in range(first, last, span)
        for centre in centres
    ]
    runs = [
        run(
            number,
            now - luck.uniform(0, 28 * DAY_S),
            provider=luck.choice(centres),
            consumer=luck.choice(centres),
            work_type=luck.choice(WORK_TYPES),
        )
        for number in range(1, jobs + 1)
    ]
    standings = [
        {"centre": centre, "resource_class": "cpu", "balance": luck.uniform(-1e6, 1e6), "contributed": 1e6}
        for centre in centres
    ]
    with database.begin() as connection:
        connection.execute(insert(POINT), points)
        connection.execute(insert(RUN), runs)
        connection.execute(insert(EPOCH).values(id=1, at=now, half_life_s=604800, latest=now))
        connection.execute(insert(STANDING), standings)


def shown(services: Services, centres: list[str], jobs: int, now: float) -> None:
    """Offers of all centres, and a decision about so many waiting jobs."""
    at = datetime.fromtimestamp(now, UTC)
    shape = Shape(cores=8, memory_mb=16_000, disk_mb=1000, count=50)
    for centre in centres:
        offer = Offer(centre=centre, shapes=[shape], starts=at, expires=at + timedelta(hours=1))
        services.offers.put(offer, at)
    each = jobs // (len(centres) * len(WORK_TYPES))
    places = tuple(
        Place(centre, kind, "cpu", 3600.0, each, 1, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
        for centre in centres
        for kind in WORK_TYPES
    )
    store(services.settings.state_dir, Decision(now, 1, "sha256:" + "0" * 64, places, {}))


@contextlib.contextmanager
def serving(services: Services, folder: Path) -> Iterator[int]:
    """The gateway over TLS; gives its port."""
    certificate = trustme.CA().issue_cert("hub.example.org")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(services), ssl_certfile=folder / "tls.pem", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        services.keeper.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            services.keeper.close()
            thread.join()


def painted(page: Page) -> float:
    """When something was painted first, in milliseconds; the page's policy lets nobody wait by a script in it."""
    script = "performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)"
    while not (found := page.evaluate(script)):
        page.wait_for_timeout(10)
    return float(found[0])


def visited(port: int, visits: int) -> dict[str, Any]:
    """What a browser with an empty cache measures."""
    paints, answers, sizes = [], [], []
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP hub.example.org 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for _ in range(visits):
            context = browser.new_context(ignore_https_errors=True)
            page = context.new_page()
            page.goto(f"https://hub.example.org:{port}/")
            paints.append(painted(page))
            timing = page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
            answers.append(timing["responseStart"])
            sizes.append(timing["transferSize"])
            context.close()
        browser.close()
    return {
        "first paint, median (s)": round(median(paints) / 1000, 3),
        "first paint, longest (s)": round(max(paints) / 1000, 3),
        "first byte, median (s)": round(median(answers) / 1000, 3),
        "bytes sent": max(sizes),
        "visits": visits,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--centres", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--visits", type=int, default=20)
    options = parser.parse_args()
    about = conditions()
    centres = [f"centre{number:02}" for number in range(options.centres)]
    now = time.time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        launchers = [
            {"name": centre, "launcher_issuer": ISSUER, "launcher_sub": centre} for centre in centres
        ]
        raw = raw_settings(folder, centres=launchers, issuers=[{"url": ISSUER, "centre_root": "/fallow"}])
        settings = on_disk(folder, HubSettings.model_validate(raw))
        services = build(settings)
        filled(services.database, centres, options.jobs, now)
        shown(services, centres, options.jobs, now)
        begun = time.perf_counter()
        services.keeper.look_at_waits()
        waits_s = time.perf_counter() - begun
        services.keeper.look()
        begun = time.perf_counter()
        services.keeper.look()
        again_s = time.perf_counter() - begun
        with serving(services, folder) as port:
            measured = visited(port, options.visits)
        services.close()
    measured |= {
        "measuring and simulating the waits (s)": round(waits_s, 2),
        "making the page anew (s)": round(again_s, 3),
        "centres": options.centres,
        "jobs": options.jobs,
    }
    rows = [{"what": name, "value": value} for name, value in measured.items()]
    tell("board", TITLE, about, {"rows": rows}, table)


if __name__ == "__main__":
    main()
