from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from fallow_pilots.images.store import fingerprint
from fallow_pilots.node.launcher import Values, jail_plan, text, write
from fallow_pilots.node.layout import Layout

DIGEST = "ab" * 32
OTHER = "cd" * 32
IMAGE = f"/fallow/images/sha256-{DIGEST}.sif"
SHELLS = [shell for shell in map(shutil.which, ("dash", "bash")) if shell]


def checked(path: Path, run: Path | None = None) -> str:
    """The mark of an image that the pilot has checked."""
    return f"{fingerprint(path)}\n{path}\n{run or path}\n"


@pytest.fixture
def values(tmp_path: Path) -> Values:
    """An Apptainer that prints its words and its environment, NUL between them."""
    fake = tmp_path / "apptainer"
    fake.write_text('#!/bin/sh\nprintf "%s\\0" "$@"; printf "\\0"; env -0\n')
    fake.chmod(0o755)
    (tmp_path / "store").mkdir()
    return Values(
        apptainer=fake,
        version="apptainer version 1.4.5",
        libexec=Path("/usr/libexec/condor"),
        starter=Path("/usr/sbin/condor_starter"),
        store=tmp_path / "store",
        check_image=tmp_path / "check.sif",
        binds=("/etc/hosts:/etc/hosts:ro",),
        user_processes=4096,
        job_processes=256,
    )


class Ran:
    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        self.status, self.errors = result.returncode, result.stderr
        words, _, environment = result.stdout.partition("\0\0")
        self.words = words.split("\0")
        self.environment = dict(item.partition("=")[::2] for item in environment.split("\0") if item)

    @property
    def binds(self) -> list[str]:
        return [self.words[at + 1] for at, word in enumerate(self.words) if word == "-B"]


class Launcher:
    """The script as HTCondor runs it."""

    def __init__(self, shell: str, place: Layout, values: Values) -> None:
        self.shell, self.place, self.values = shell, place, values
        write(place, values)
        self.scratch = place.execute / "dir_1" / "scratch"
        self.scratch.mkdir(parents=True)
        for digest in (DIGEST, OTHER):
            path = values.store / f"sha256-{digest}.sif"
            path.write_bytes(b"image")
            (place.verified / digest).write_text(checked(path))

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> Ran:
        command = [self.shell, str(self.place.launcher), *words]
        return Ran(
            subprocess.run(command, capture_output=True, text=True, check=False, env=dict(environment or {}))
        )

    def payload(
        self,
        *more: str,
        image: str = IMAGE,
        environment: Mapping[str, str] | None = None,
        images: str = "none",
    ) -> Ran:
        here = str(self.scratch)
        words = [
            "-s",
            "exec",
            "-B",
            "/l:/condor_container_launcher.sh",
            "-W",
            here,
            "--pwd",
            here,
            "-B",
            here,
        ]
        words += ["--home", here, "-C", *more, "--fallow-memory", "100", "--fallow-disk", "1000"]
        words += [
            "--fallow-cpus",
            "2",
            "--fallow-images",
            images,
            image,
            "/condor_container_launcher.sh",
            "a",
            "b c",
        ]
        return self.run(*words, environment=environment)


@pytest.fixture(params=SHELLS, ids=lambda shell: Path(shell).name)
def launcher(request: pytest.FixtureRequest, place: Layout, values: Values) -> Launcher:
    return Launcher(request.param, place, values)


def test_the_image_is_the_centres_and_the_payloads_words_stay(launcher: Launcher) -> None:
    ran = launcher.payload()
    stored = str(launcher.values.store / f"sha256-{DIGEST}.sif")
    assert ran.words[ran.words.index(stored) :] == [stored, "/condor_container_launcher.sh", "a", "b c"]


@pytest.mark.parametrize("word", ["--userns", "--containall", "--no-eval"])
def test_isolation_is_never_left_to_the_job(launcher: Launcher, word: str) -> None:
    assert word in launcher.payload().words


def test_only_our_binds_reach_the_container(launcher: Launcher) -> None:
    ran = launcher.payload("-B", "/home:/home")
    assert set(ran.binds) - {"/dev/fuse"} == {
        str(launcher.scratch),
        f"{launcher.place.payload_entry}:/condor_container_launcher.sh:ro",
        "/etc/hosts:/etc/hosts:ro",
    }


def test_further_images_appear_under_their_names(launcher: Launcher) -> None:
    ran = launcher.payload(images=f"sha256:{OTHER}")
    assert f"{launcher.values.store}/sha256-{OTHER}.sif:/fallow/images/sha256-{OTHER}.sif:ro" in ran.binds


def test_of_the_environment_only_the_payloads_own_is_left(launcher: Launcher) -> None:
    hostile = {
        "APPTAINER_BIND": "/:/host",
        "APPTAINER_NO_PID": "1",
        "SINGULARITY_OVERLAY": "/x",
        "SINGULARITYENV_X": "1",
        "_CONDOR_CHIRP_CONFIG": "x",
        "PATH": "/tmp/evil",
        "TWO_LINES": "a\nexport APPTAINERENV_Y=b",
        "APPTAINERENV_FOO": "a b\n'c'",
    }
    environment = launcher.payload(environment=hostile).environment
    ours = {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "APPTAINER_CONFIGDIR", "APPTAINER_TMPDIR"}
    ours |= {"APPTAINER_CACHEDIR", "APPTAINERENV_FALLOW_PROCS"}
    assert {name for name in environment if name not in ours} <= {"APPTAINERENV_FOO", "APPTAINERENV_Y"}
    assert environment["APPTAINERENV_FOO"] == "a b\n'c'"
    assert "/tmp/evil" not in environment["PATH"]
    assert environment["APPTAINER_TMPDIR"] == str(launcher.scratch)


def test_a_payload_may_start_processes_by_its_cores(launcher: Launcher) -> None:
    assert launcher.payload().environment["APPTAINERENV_FALLOW_PROCS"] == "768"


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("/etc/passwd", "not named by its digest"),
        ("docker://x", "not named by its digest"),
        (f"/fallow/images/sha256-{DIGEST}.sif/../../x", "not named by its digest|malformed"),
        ("/fallow/images/sha256-../../x.sif", "malformed"),
        (f"/fallow/images/sha256-{DIGEST[:-1]}.sif", "malformed"),
        (f"/fallow/images/sha256-{DIGEST.upper()}.sif", "malformed"),
        (f"/fallow/images/sha256-{DIGEST}.sif\n", "not named by its digest|malformed"),
    ],
)
def test_an_image_without_a_digest_is_refused(launcher: Launcher, image: str, why: str) -> None:
    ran = launcher.payload(image=image)
    assert ran.status == 255
    assert any(part in ran.errors for part in why.split("|"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--bind", "/:/x"), "the option --bind is not known"),
        (("--no-pid",), "the option --no-pid is not known"),
        (("-S", "/etc"), "the option -S is not known"),
        (("-W", "/etc"), "the scratch directory is not one of ours"),
        (("--home", "/root"), "the home directory is not the scratch directory"),
        (("--pwd", "/"), "the working directory is outside"),
        (("--fallow-memory", "1;id"), "a limit is no number"),
    ],
)
def test_words_that_htcondor_does_not_use_are_refused(
    launcher: Launcher, words: tuple[str, ...], why: str
) -> None:
    here = str(launcher.scratch)
    ran = launcher.run("exec", "-W", here, "--pwd", here, "--home", here, *words, IMAGE, "/bin/true")
    assert (ran.status, ran.words) == (255, [""])
    assert why in ran.errors


def test_the_scratch_directory_cannot_be_left_by_dots(launcher: Launcher) -> None:
    away = f"{launcher.place.execute}/dir_1/../../tokens"
    ran = launcher.run("exec", "-W", away, "--pwd", away, IMAGE, "/bin/true")
    assert "the scratch directory is not one of ours" in ran.errors


def test_a_job_that_was_disarmed_fails_with_a_sentence(launcher: Launcher) -> None:
    ran = launcher.payload(images="refused-loader")
    assert ran.status == 126
    assert "pilots do not allow what it asks for (loader)" in ran.errors
    assert (launcher.scratch / ".condor_container_launched").exists()


def test_an_image_that_changed_waits_for_the_pilot(launcher: Launcher) -> None:
    stored = launcher.values.store / f"sha256-{DIGEST}.sif"
    stored.write_bytes(b"another")
    request = launcher.place.requests / DIGEST
    taken = threading.Event()

    def pilot() -> None:
        while not request.exists() and not taken.wait(0.02):
            pass
        (launcher.place.verified / DIGEST).write_text(checked(stored))
        request.unlink()

    answering = threading.Thread(target=pilot)
    answering.start()
    ran = launcher.payload()
    taken.set()
    answering.join()
    assert (ran.status, ran.errors) == (0, "")


def turned_down(launcher: Launcher) -> Ran:
    """Run the payload with a pilot that takes the request for the image away and has none."""
    request = launcher.place.requests / DIGEST
    ended = threading.Event()

    def pilot() -> None:
        while not request.exists() and not ended.wait(0.02):
            pass
        request.unlink(missing_ok=True)

    answering = threading.Thread(target=pilot)
    answering.start()
    ran = launcher.payload()
    ended.set()
    answering.join()
    return ran


def test_an_image_that_cannot_be_had_starts_nothing(launcher: Launcher) -> None:
    (launcher.values.store / f"sha256-{DIGEST}.sif").unlink()
    ran = turned_down(launcher)
    assert ran.status == 255
    assert f"the image sha256:{DIGEST} cannot be had here" in ran.errors


def test_what_the_pilot_has_unpacked_is_run_instead_of_the_file(launcher: Launcher) -> None:
    stored, run = launcher.values.store / f"sha256-{DIGEST}.sif", launcher.place.unpacked / DIGEST
    run.mkdir()
    (launcher.place.verified / DIGEST).write_text(checked(stored, run))
    words = launcher.payload(images=f"sha256:{DIGEST}").words
    assert words[words.index("/condor_container_launcher.sh") - 1] == str(run)
    assert f"{run}:/fallow/images/sha256-{DIGEST}.sif:ro" in words, "and shown to it, for containers inside"


def test_the_pilot_is_told_which_images_a_payload_runs_in(launcher: Launcher) -> None:
    launcher.payload(images=f"sha256:{OTHER}")
    told = {path.name for path in launcher.place.requests.iterdir()}
    assert told == {f"{DIGEST}.use.1", f"{OTHER}.use.1"}


@pytest.mark.parametrize("mark", ["", "1 2 3\n", "absent\nx\n", "1 2 3\n/nothing\n/nothing\n"])
def test_a_mark_that_is_not_whole_is_none(launcher: Launcher, mark: str) -> None:
    (launcher.place.verified / DIGEST).write_text(mark)
    ran = turned_down(launcher)
    assert ran.status != 0
    assert ran.words == [""]


def test_paths_with_odd_characters_survive(place: Layout, values: Values) -> None:
    odd = Layout(Path("/scratch/it's $HOME"))
    assert "execute='/scratch/it'\"'\"'s $HOME/execute'" in text(odd, values)


def test_a_starter_is_shown_no_place_of_secrets(place: Layout, values: Values) -> None:
    plan = json.loads(json.dumps(jail_plan(place, values)))
    assert str(place.tokens) in plan["hidden"]
    assert not {"/home", "/root", "/tmp", "/run", str(Path.home())} & set(plan["shown"])
    assert str(place.root) in plan["read_only"]
    assert not [path for path in plan["writable"] if Path(path).is_relative_to(place.root / "bin")]
