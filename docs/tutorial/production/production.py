"""A small Monte Carlo production: Z bosons that decay to two muons, made, seen by a detector, found again, and counted.

Usage: python3 production.py generate SEED EVENTS | simulate SEED | reconstruct | merge
"""

import json
import sys
from pathlib import Path

import boost_histogram as bh
import numpy as np


def generate(seed, events):
    """Proton collisions at 13 TeV (Pythia 8): momentum and energy of the two muons of each Z, in GeV."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in (
        "Print:quiet = on",
        "Beams:eCM = 13000.",
        "PDF:pSet = 2",
        "WeakSingleBoson:ffbar2gmZ = on",
        "PhaseSpace:mHatMin = 60.",
        "23:onMode = off",
        "23:onIfAny = 13",
        "HadronLevel:all = off",
        "PartonLevel:MPI = off",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
    ):
        pythia.readString(line)
    if not pythia.init():
        sys.exit("Pythia does not start.")
    found = []
    while len(found) < events:
        if pythia.next():
            muons = {p.id(): p for p in pythia.event if p.isFinal() and abs(p.id()) == 13}
            if set(muons) == {13, -13}:
                found.append([(p.px(), p.py(), p.pz(), p.e()) for p in (muons[13], muons[-13])])
    np.savez_compressed("events.npz", muons=np.array(found))


def simulate(seed):
    """What the detector sees: momenta with an error, and only of muons that reach it."""
    detector = json.loads(Path("detector.json").read_text())
    muons = np.load("events.npz")["muons"]
    luck = np.random.default_rng(seed)
    seen = muons * luck.normal(1.0, detector["resolution"], size=(*muons.shape[:2], 1))
    pt = np.hypot(seen[..., 0], seen[..., 1])
    eta = np.arcsinh(seen[..., 2] / pt)
    accepted = (pt > detector["pt_min"]) & (abs(eta) < detector["eta_max"])
    np.savez_compressed("hits.npz", muons=seen, accepted=accepted)


def reconstruct():
    """The invariant mass of each pair that was seen, as a histogram."""
    hits = np.load("hits.npz")
    pairs = hits["muons"][hits["accepted"].all(axis=1)].sum(axis=1)
    mass2 = pairs[:, 3] ** 2 - (pairs[:, :3] ** 2).sum(axis=1)
    mass = bh.Histogram(bh.axis.Regular(30, 60, 120, metadata="mass in GeV"))
    mass.fill(np.sqrt(np.maximum(mass2, 0)))
    np.savez_compressed("mass.npz", counts=mass.view(flow=True), made=len(hits["accepted"]))


def merge():
    """The sum of all histograms, as JSON and as a picture of characters."""
    total = bh.Histogram(bh.axis.Regular(30, 60, 120))
    made = 0
    for name in sorted(Path().glob("*-mass.npz")):
        part = np.load(name)
        total.view(flow=True)[...] += part["counts"]
        made += int(part["made"])
    counts = total.view()
    edges = total.axes[0].edges
    peak = float(total.axes[0].centers[counts.argmax()])
    result = {
        "made": made,
        "seen": int(counts.sum()),
        "peak_gev": peak,
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
    Path("mass.json").write_text(json.dumps(result))
    for low, count in zip(edges[:-1], counts, strict=True):
        print(f"{low:5.0f} GeV {int(count):6d} {'#' * int(60 * count / counts.max())}")
    print(f"{made} events made, {int(counts.sum())} seen, the peak is at {peak:.0f} GeV")


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    globals()[step](*map(int, arguments))
