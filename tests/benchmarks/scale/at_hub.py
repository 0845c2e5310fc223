"""On the hub, as its account: recorded slots for the collector, and what hub parts take.

Usage: python at_hub.py record CENTRE        keep the ad of a slot of that centre; `recorded`
       python at_hub.py slots CENTRE COUNT   advertise so many copies of it; the seconds that took
       python at_hub.py matcher COUNT        run so many cycles of the matcher; JSON
       python at_hub.py negotiator SLOTS JOBS COUNT
                                             CPU seconds of the parts of so many negotiation cycles, over so many slots and
                                             waiting jobs at least; JSON

It needs nothing but what a hub has.
"""

import json
import sys
import time
from pathlib import Path

from fallow.queue.session import bindings, install_token
from fallow_matcher import settings as hub_settings
from fallow_matcher.htcondor import keys
from fallow_matcher.htcondor.idtokens import PILOT_RIGHTS, Mint
from fallow_matcher.identities import pilot_identity
from fallow_matcher.matching.cycle import on_hub
from fallow_matcher.pool import Pool

TEMPLATE, BATCH = Path("/var/lib/fallow/run/recorded-slot"), 500
STAMPED = ("LastHeardFrom", "UpdateSequenceNumber", "AuthenticatedIdentity", "AuthenticationMethod")
"""What the collector puts into an ad, if it is not there already."""
PAUSE_S, LIMIT_S = 0.3, 180
FIRST = 100_000
"""The serial of the first recorded pilot, beyond those of real ones."""


def record(settings: hub_settings.HubSettings, centre: str) -> str:
    """Keep the ad of a slot; nothing while there is none."""
    found = Pool(settings).slots(f'PartitionableSlot && FallowCentre == "{centre}"')
    if not found:
        return ""
    for name in STAMPED:
        found[0].pop(name, None)
    TEMPLATE.write_text(str(found[0]))
    return "recorded"


def slots(settings: hub_settings.HubSettings, centre: str, count: int) -> float:
    """Advertise copies of the recorded slot as that centre's pilots would; the seconds that the collector took."""
    htcondor = bindings()
    import classad2

    template = TEMPLATE.read_text()
    now = int(time.time())
    mint = Mint(settings.trust_domain, keys.directory(settings))
    identity = pilot_identity(centre, settings.trust_domain)
    token = mint.mint(keys.pilot_key(centre), identity, PILOT_RIGHTS, now=now, expires=now + 3600)
    install_token(settings.trust_domain, token.token)
    collector = htcondor.Collector(settings.collector_address)
    taken_s = 0.0
    for first in range(0, count, BATCH):
        ads = []
        for number in range(first, min(first + BATCH, count)):
            ad = classad2.ClassAd(template)
            pilot = f"{centre}-{FIRST + number}"
            ad["Name"], ad["Machine"], ad["FallowPilot"] = (
                f"slot1@{pilot}@recorded",
                f"{pilot}.recorded",
                pilot,
            )
            # The negotiator takes slots only that are reached through CCB.
            address = f"<127.0.0.1:1?CCBID=127.0.0.1:1#{FIRST + number}&alias={pilot}>"
            ad["MyAddress"] = ad["StartdIpAddr"] = address
            ads.append(ad)
        begun = time.monotonic()
        collector.advertise(ads, "UPDATE_STARTD_AD", True)
        taken_s += time.monotonic() - begun
    return taken_s


def matcher(settings: hub_settings.HubSettings, count: int) -> list[float]:
    """Seconds of each cycle, the first left out: it opens connections."""
    acting = on_hub(settings, Path("/etc/fallow/condor/condor_config"))
    acting.cycle()
    seconds = []
    for _ in range(count):
        begun = time.monotonic()
        acting.cycle()
        seconds.append(time.monotonic() - begun)
    return seconds


def negotiator(settings: hub_settings.HubSettings, slots: int, jobs: int, count: int) -> list[list[float]]:
    """CPU seconds of the four phases of some cycles, as the negotiator tells them."""
    htcondor = bindings()
    pool = Pool(settings)
    pool.slots("False")  # so that a token is there
    collector = htcondor.Collector(settings.collector_address)
    seen: dict[int, list[float]] = {}
    end = time.monotonic() + LIMIT_S
    last = ""
    while len(seen) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"no {count} cycles over {slots} slots and {jobs} jobs; the last: {last}")
        time.sleep(PAUSE_S)
        for ad in collector.query(htcondor.AdType.Negotiator):
            had = [
                int(ad.get(f"LastNegotiationCycle{name}0", 0))
                for name in ("Time", "TotalSlots", "NumIdleJobs")
            ]
            last = f"{had}"
            if had[1] >= slots and had[2] >= jobs:
                phases = [f"LastNegotiationCyclePhase{phase}CpuTime0" for phase in (1, 2, 3, 4)]
                seen[had[0]] = [float(ad[name]) for name in phases]
    return list(seen.values())


def main() -> None:
    """See the usage."""
    settings = hub_settings.read(hub_settings.DEFAULT_PATH)
    what, *words = sys.argv[1:]
    if what == "record":
        print(record(settings, words[0]))
    elif what == "slots":
        print(slots(settings, words[0], int(words[1])))
    elif what == "matcher":
        print(json.dumps(matcher(settings, int(words[0]))))
    else:
        print(json.dumps(negotiator(settings, *map(int, words))))


if __name__ == "__main__":
    main()
