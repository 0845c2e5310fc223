"""What befalls a workflow: each fault ends by itself, or is ended a little later."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.integration.pilots.sites import Site
from tests.integration.test_executor import Workflow

from fallow.errors import FallowError
from fallow.files import write_private
from fallow_testbed import centre, issuer, people, s3
from fallow_testbed import hub as testbed_hub
from fallow_testbed.wait import serve

S3_AWAY_S = 60.0
WITHDRAWN_S = 15.0
TOKEN_S = 30
"""A token that ends so soon is no longer good for what the workflow still has to do."""
LOGGED_OUT_S = 20.0
PERSON = "alice"


@dataclass
class Chaos:
    """Faults for one workflow, in an order and at moments that `luck` chooses."""

    workflow: Workflow
    luck: random.Random
    restart: Callable[[], None]
    """Gives the same command again after a kill."""
    _began: float = field(default_factory=time.monotonic)
    _later: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    _pending: list[Future[None]] = field(default_factory=list)

    def unleash(self) -> None:
        """All faults, one after another, whatever the last one still does; the same one twice where it is cheap."""
        faults = [
            self.pilots_killed,
            self.centre_withdrawn,
            self.queue_restarted,
            self.storage_away,
            self.snakemake_killed,
            self.killed_and_logged_out,
        ]
        self.luck.shuffle(faults)
        for fault in faults:
            time.sleep(self.luck.uniform(3, 9))  # a moment that nothing of the workflow decides
            fault()

    def calm(self) -> None:
        """Wait until everything that was taken away is back."""
        for pending in self._pending:
            pending.result()
        self._later.shutdown()

    def pilots_killed(self) -> None:
        """All processes of the pilots on one node are killed: nobody says a word to the hub."""
        node = self.luck.choice(self.workflow.layout.nodes("alder"))
        self._say(f"the pilots on {node.name} are killed")
        node.run(["pkill", "-KILL", "-u", centre.ACCOUNT], check=False)

    def centre_withdrawn(self) -> None:
        """A centre takes its capacity back at once, and gives again a little later."""
        site = Site(self.luck.choice(["birch", "cedar"]), self.workflow.layout)
        self._say(f"{site.name} is withdrawn")
        site.fallow("withdraw", "--now")
        self._after(WITHDRAWN_S, f"{site.name} gives again", lambda: site.fallow("resume"))

    def queue_restarted(self) -> None:
        """The hub's schedd ends, in order or not, and its master starts it again."""
        signal = self.luck.choice(["TERM", "KILL"])
        self._say(f"the hub's schedd gets SIG{signal}")
        self.workflow.layout.hub().run(["pkill", f"-{signal}", "-x", "condor_schedd"])

    def storage_away(self) -> None:
        """The S3 server is killed, and comes back a minute later."""
        hub = self.workflow.layout.hub()
        self._say("the S3 server is killed")
        hub.run(["pkill", "-KILL", "-x", "weed"])
        self._after(
            S3_AWAY_S,
            "the S3 server is back",
            lambda: serve(hub, s3.server_argv(), user="s3", port=s3.PORT, what="s3"),
        )

    def snakemake_killed(self) -> None:
        """Snakemake is killed, and the same command given again."""
        self._say("Snakemake is killed and started again")
        with contextlib.suppress(FallowError):  # without a token it may have given up before
            self.workflow.kill()
        self.restart()

    def killed_and_logged_out(self) -> None:
        """The same, with a token that ends soon; a new one is there only when it has been gone for a while."""
        hub, token = self.workflow.layout.hub(), people.home(self.workflow.layout, PERSON) / "token"
        short = issuer.token(hub, PERSON, testbed_hub.GATEWAY_URL, life_s=TOKEN_S)
        write_private(token, short + "\n")
        self.snakemake_killed()
        self._say(f"{PERSON}'s token is good for less than {TOKEN_S} s")
        self._after(
            TOKEN_S + LOGGED_OUT_S,
            f"{PERSON} has logged in again",
            lambda: people.renew_token(hub, token, PERSON),
        )

    def _after(self, pause_s: float, what: str, act: Callable[[], object]) -> None:
        def later() -> None:
            time.sleep(pause_s)
            act()
            self._say(what)

        self._pending.append(self._later.submit(later))

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s: {what}", flush=True)
