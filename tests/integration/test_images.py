"""Images: published at a login host, and a centre's store under faults, in the shared testbed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.pilots.conftest import submit
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import Batch
from tests.integration.publisher import HOME, LAYOUT, MAKE, USER, Publisher, serving

from fallow_testbed import people
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

__all__ = ["submit"]

NODE = "cedar-1"
COPIES = "/home/copies"
QUOTA_MB = 3
"""Room for two of these images."""


@pytest.fixture(scope="module")
def alice(bed: Testbed) -> Publisher:
    return Publisher(bed.layout(), "alice", "cedar")


@pytest.fixture(scope="module")
def bob(bed: Testbed) -> Publisher:
    return Publisher(bed.layout(), "bob", "cedar")


@pytest.fixture(scope="module")
def first(alice: Publisher) -> str:
    """An image that is published once for all tests."""
    return alice.small("first", "--tag", "small:1", "--label", "team=north")


@pytest.fixture(scope="module")
def others(alice: Publisher) -> list[str]:
    """Two more."""
    return [alice.small(word) for word in ("second", "third")]


class Store:
    """A centre's image store, as its admin sees it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.directory = site.policy.parent / "state" / "images"

    def path(self, digest: str) -> Path:
        return self.directory / f"{digest.replace(':', '-')}.sif"

    def fetches(self, digest: str) -> int:
        """How often it was fetched, by the logs of the launcher and of all pilots."""
        logs = [
            *self.directory.parent.glob("pilots/*/pilot.log"),
            *(self.site.login.files / "var" / "log" / "fallow").glob("*.log"),
        ]
        return sum(path.read_text(errors="replace").count(f"image {digest} fetched") for path in logs)


@pytest.fixture(scope="module")
def cedar(bed: Testbed) -> Iterator[Site]:
    """A centre with one node, whose launcher fetches nothing before the jobs come, and a quota for two small images."""
    site = Site("cedar", bed.layout())
    before = site.policy.read_text()
    site.follow(before.replace("[assume]", f"[assume]\nimage_prefetch = false\nimage_quota_mb = {QUOTA_MB}"))
    yield site
    site.follow(before)


def words(submit: Callable[..., Batch], digest: str, *, centre: str = "cedar", count: int = 1) -> Batch:
    """Jobs that say their image's word."""
    jobs = {f"j{number}": ("sh", "-c", "cat /word; test -s /word") for number in range(count)}
    return submit(jobs, image=digest, centre=centre)


def test_publishing_again_changes_nothing_and_what_is_known_is_shown(alice: Publisher, first: str) -> None:
    again = alice.json("publish", "~/small", "--tag", "small:1", "--label", "team=north")
    assert (again["digest"], again["sent"]) == (first, False)
    shown = alice.json("show", "small:1")
    assert shown["digest"] == first
    assert shown["tags"] == ["fallow://alder.alice/small:1"]
    assert (shown["published"][0]["publisher"], shown["published"][0]["labels"]) == (
        "alder.alice",
        {"team": "north"},
    )
    assert first in {one["digest"] for one in alice.json("list", "--mine")}


def test_fifty_jobs_at_one_centre_fetch_an_image_once(
    bed: Testbed, submit: Callable[..., Batch], others: list[str]
) -> None:
    alder = Site("alder", bed.layout())
    alder.fallow("resume")
    words(submit, others[0], centre="alder", count=50).wait_done()
    assert Store(alder).fetches(others[0]) == 1


def test_a_tag_is_its_owners_and_is_moved_only_on_purpose(
    alice: Publisher, bob: Publisher, first: str, others: list[str]
) -> None:
    refused = bob.fallow("tag", first, "alder.alice/small:1", "--move", check=False)
    assert refused.returncode == 4
    assert "You may not set tags of alder.alice; yours are birch.bob." in refused.stderr
    clash = alice.fallow("tag", others[0], "small:1", check=False)
    assert clash.returncode == 4
    assert f"fallow://alder.alice/small:1 means {first} already" in clash.stderr
    assert alice.json("tag", others[0], "small:1", "--move")["digest"] == others[0]
    assert bob.json("show", "alder.alice/small:1")["digest"] == others[0]


def test_one_tag_means_an_image_for_each_architecture_and_jobs_wait_for_nodes_of_theirs(
    alice: Publisher, first: str, submit: Callable[..., Batch], bed: Testbed
) -> None:
    alice.small("both", "--keep", "~/both.sif", "--tag", "both:1")
    usual = alice.json("show", "both:1")
    assert usual["architecture"] == "x86_64"
    alice.shell(
        "mv ~/both.sif ~/arm.sif; printf 04 | dd of=$HOME/arm.sif bs=1 seek=45 conv=notrunc status=none"
    )
    arm = alice.json("publish", "~/arm.sif", "--tag", "both:1")
    assert arm["tags"] == ["fallow://alder.alice/both:1@aarch64"]
    assert alice.json("show", "both:1")["digest"] == usual["digest"]
    assert alice.json("show", "both:1@aarch64")["architecture"] == "aarch64"
    batch = submit({"here": ("cat", "/word")}, image=usual["digest"], centre="alder")
    jobs = {"there": ("cat", "/word"), "there too": ("cat", "/word")}
    waits = submit(jobs, image=arm["digest"], architecture="aarch64", centre="alder")
    batch.wait_done()
    said = explained(bed, waits.ids["there"])
    assert "as an image for aarch64; nodes at alder are x86_64" in said

    # What most jobs wait for is fetched first: only because it is for other machines is that one not there.
    ahead = alice.small("ahead")
    large = submit({"large": ("cat", "/word")}, image=ahead, centre="alder", cores=64)
    store = Store(Site("alder", bed.layout()))
    wait_until(store.path(ahead).exists, "an image before its job can run", 120, pause_s=0.5)
    assert not store.path(arm["digest"]).exists()
    for left in (waits, large):
        left.remove()


def explained(bed: Testbed, job: str) -> str:
    """`fallow explain`, as alice types it."""
    env = people.environment(bed.layout(), "alice")
    return (
        bed.host("desk").run([str(Path(sys.executable).with_name("fallow")), "explain", job], env=env).stdout
    )


def test_images_come_from_layouts_archives_and_definitions_too_and_are_signed(
    alice: Publisher, first: str
) -> None:
    alice.shell(LAYOUT.format(home=HOME))
    layout = alice.json("publish", "~/layout")
    archive = alice.json("publish", "oci-archive:" + HOME + "/layout.tar")
    assert layout["sent"]
    assert archive["sent"]
    key = f"{HOME}/key"
    alice.shell(f"rm -f {key}*; ssh-keygen -q -t ed25519 -N '' -f {key}")
    made = alice.json("publish", "~/small.def", "--sign-with", key, "--tag", "made")
    said = alice.json("show", "made")["published"][0]
    assert said["source"] == "definition small.def"
    assert said["signature_holds"]
    assert said["tree"].startswith("sha256:")
    tagged = alice.fallow("remove", made["digest"], "--yes", check=False)
    assert tagged.returncode == 4
    assert "The image has tags: fallow://alder.alice/made:latest" in tagged.stderr
    alice.fallow("untag", "made")
    assert alice.json("remove", made["digest"], "--yes")["removed"]
    gone = alice.fallow("show", made["digest"], check=False)
    assert gone.returncode == 2
    assert first in {one["digest"] for one in alice.json("list")}


@pytest.fixture
def registry(alice: Publisher) -> Iterator[str]:
    """A registry at the login host with the image of a layout, `layers`, and a SIF, `sif`; what both are called there."""
    with serving(alice) as name:
        yield name


def test_images_come_from_a_registry(alice: Publisher, registry: str) -> None:
    alice.env["APPTAINER_NOHTTPS"] = "1"
    copied = alice.json("publish", f"oras://{registry}:sif")
    assert copied["digest"] == f"sha256:{alice.shell('sha256sum ~/of.sif').stdout.split()[0]}"
    made = alice.json("publish", f"docker://{registry}:layers", "--keep", "~/made.sif")
    assert alice.json("show", made["digest"])["published"][0]["source"] == f"docker://{registry}:layers"
    assert alice.shell("apptainer -s exec ~/made.sif cat /word").stdout == "registry\n"
    unknown = alice.fallow("publish", f"docker://{registry}:never", check=False)
    assert unknown.returncode == 2
    assert f"Apptainer cannot make an image of docker://{registry}:never" in unknown.stderr


def test_a_killed_fetch_holds_nobody_up(
    cedar: Site, bed: Testbed, submit: Callable[..., Batch], others: list[str]
) -> None:
    store, digest = Store(cedar), others[1]
    name = digest.partition(":")[2]
    cedar.wait_for_pilots()
    s3 = bed.host("hub")
    s3.run(["pkill", "--signal", "STOP", "-x", "weed"])
    try:
        batch = words(submit, digest)
        wait_until((store.directory / f".{name}.lease").exists, "a fetch that hangs", 120)
        bed.host(NODE).run(["pkill", "--signal", "KILL", "-f", f"fallow_pilots.node.fetch .*{name}"])
        assert (store.directory / f".{name}.lease").exists()
    finally:
        s3.run(["pkill", "--signal", "CONT", "-x", "weed"])
    batch.wait_done()
    assert store.fetches(digest) == 1
    assert not list(store.directory.glob(f".{name}*.lease"))
    assert not list(store.directory.glob(".*.part"))


def test_a_damaged_image_never_runs(cedar: Site, submit: Callable[..., Batch], first: str) -> None:
    store = Store(cedar)
    words(submit, first).wait_done()
    path = store.path(first)
    good, about = path.read_bytes(), path.stat()
    for damaged in (good[:-4096], good[:700_000] + bytes([good[700_000] ^ 1]) + good[700_001:]):
        before = store.fetches(first)
        path.chmod(0o644)
        path.write_bytes(damaged)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        words(submit, first).wait_done()
        assert store.fetches(first) == before + 1
        assert path.read_bytes() == good


def test_the_quota_holds_and_the_least_recently_used_goes(
    cedar: Site, submit: Callable[..., Batch], first: str, others: list[str]
) -> None:
    store = Store(cedar)
    digests = [first, *others]
    for digest in digests:
        words(submit, digest).wait_done()
        held = [path.stat().st_size for path in store.directory.glob("*.sif")]
        assert sum(held) <= QUOTA_MB * 1_000_000
    assert not store.path(first).exists()
    assert store.path(digests[-1]).exists()


@pytest.fixture(scope="module")
def signed(alice: Publisher) -> dict[str, str]:
    """A signed image whose file was kept: its digest, and the key."""
    key, kept = f"{HOME}/site-key", f"{HOME}/kept.sif"
    alice.shell(f"rm -f {key}* {kept}; ssh-keygen -q -t ed25519 -N '' -f {key}")
    alice.shell(MAKE.format(home=HOME, word="signed"))
    digest = alice.json("publish", "~/small", "--keep", kept, "--sign-with", key)["digest"]
    public = " ".join(alice.shell(f"cat {key}.pub").stdout.split()[:2])
    return {"digest": digest, "key": public}


@pytest.fixture(scope="module")
def bare(cedar: Site, bed: Testbed, signed: dict[str, str]) -> Iterator[Site]:
    """The same centre, its node without FUSE, with a place for the site's own copies."""
    node = bed.host(NODE)
    node.run(["chmod", "0", "/dev/fuse"])
    cedar.login.run(["sh", "-c", f"mkdir -p {COPIES} && chown {USER} {COPIES}"])
    copies = f"image_copies = {json.dumps([COPIES])}\nimage_signers = {json.dumps([signed['key']])}"
    cedar.follow(cedar.policy.read_text().replace("[assume]", f"[assume]\n{copies}"))
    yield cedar
    node.run(["chmod", "666", "/dev/fuse"])
    cedar.login.run(["rm", "-rf", COPIES])


def test_without_fuse_an_image_is_unpacked_once_by_a_pilot(
    bare: Site, submit: Callable[..., Batch], first: str
) -> None:
    [pilot] = {job.pilot for job in words(submit, first, count=3).wait_done().values()}
    said = (bare.policy.parent / "state" / "pilots" / str(pilot) / "pilot.log").read_text()
    assert said.count(f"image {first} is unpacked") == 1


def test_identical_copies_of_the_site_are_used_and_others_are_not(
    bare: Site, submit: Callable[..., Batch], alice: Publisher, signed: dict[str, str]
) -> None:
    store, digest = Store(bare), signed["digest"]
    copy = f"{COPIES}/{digest.replace(':', '-')}"
    alice.shell(f"cp {HOME}/kept.sif {copy}.sif")
    words(submit, digest).wait_done()
    alice.shell(
        f"rm {copy}.sif && apptainer -s build --sandbox {copy} {HOME}/kept.sif && chmod -R a+rX {copy}"
    )
    words(submit, digest).wait_done()
    assert not store.path(digest).exists()
    alice.shell(f"rm -rf {copy} && head -c 500000 {HOME}/kept.sif >{copy}.sif")
    words(submit, digest).wait_done()
    assert store.path(digest).exists()
