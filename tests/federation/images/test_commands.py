from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fallow.client import ClientSettings
from fallow.errors import FallowError, UsageError
from fallow.hub import HubClient, HubRefusedError
from fallow.images import build, commands
from fallow.images.client import ImageClient
from fallow.messages import ImageUpload, ImageUrl

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DIGEST = f"sha256:{'a' * 64}"


class Hub(HubClient):
    """A hub with images and tags in memory."""

    def __init__(self) -> None:
        super().__init__(ClientSettings(hub="https://hub.example.org"), token=lambda: "")
        self.images: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, Any]] = {}

    def image_url(self, digest: str) -> ImageUrl | None:
        return ImageUrl(url="https://s3/x", bytes=3) if digest in self.images else None

    def image_upload(self, digest: str) -> ImageUpload | None:
        return None

    def ask(self, model: type[Any], method: str, path: str, document: str | None = None) -> Any:
        body = json.loads(document or "{}")
        _, _, kind, *rest = path.split("?", maxsplit=1)[0].split("/")
        if kind == "images" and method == "POST":
            said = {"publisher": "alder.alice", "created": NOW, **body}
            self.images[rest[0]] = {"digest": rest[0], "bytes": 3, "published": [said], "tags": []}
        if kind == "images" and not rest:
            return model(images=list(self.images.values()))
        if kind == "images":
            return self._found(model, self.images.get(rest[0]))
        if method == "PUT":
            about = dict(zip(("owner", "name", "tag"), rest))  # noqa: B905 - Python 3.9 does not know it
            self.tags["/".join(rest)] = {
                **about,
                "digest": body["digest"],
                "set_by": "alder.alice",
                "changed": NOW,
            }
        if not rest:
            return model(tags=list(self.tags.values()))
        return self._found(model, self.tags.get("/".join(rest)))

    def _found(self, model: type[Any], values: dict[str, Any] | None) -> Any:
        if values is None:
            raise HubRefusedError("The hub refused: There is none.", status=404)
        return model(**values)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    made = Hub()
    settings = ClientSettings(hub="https://hub.example.org")
    monkeypatch.setattr("fallow.client.connect", lambda *_: made)
    monkeypatch.setattr("fallow.client.client_settings", lambda *_: settings)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def run(*words: str, fails: type[FallowError] | None = None) -> str:
    done = CliRunner().invoke(commands.image, words)
    if fails is None:
        assert done.exit_code == 0, done.exception or done.output
    else:
        assert isinstance(done.exception, fails), done.output
        return str(done.exception)
    return done.output


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was built, in order: each is an image of its own."""
    made: list[str] = []

    def make(source: build.Source, target: Path, *, unpacked: bool = False) -> None:
        made.append(source.shown)
        target.write_text(f"image {len(made)}")

    monkeypatch.setattr("fallow.images.publish.build", make)
    return made


def test_an_unchanged_directory_is_built_once(hub: Hub, built: list[str], tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    first = json.loads(
        run("publish", str(tmp_path / "rootfs"), "--tag", "tool:1", "--label", "a=b=c", "--json")
    )
    again = json.loads(run("publish", str(tmp_path / "rootfs"), "--tag", "tool:2", "--json"))
    assert (again["digest"], built) == (first["digest"], ["directory rootfs"])
    assert set(hub.tags) == {"~/tool/1", "~/tool/2"}
    hub.images.clear()
    run("publish", str(tmp_path / "rootfs"))
    assert len(built) == 2


def test_a_sif_is_published_with_its_labels(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "a.sif").write_bytes(b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0more")
    digest = json.loads(run("publish", str(tmp_path / "a.sif"), "--label", "a=b=c", "--json"))["digest"]
    shown = json.loads(run("show", digest, "--json"))
    assert shown["published"][0]["labels"] == {"a": "b=c"}
    assert digest in run("list", "--json")
    assert "file a.sif" in run("show", digest)


@pytest.mark.parametrize("label", ["novalue", "UPPER=x", "=x", "a=b\nc", "a b=c"])
def test_what_is_no_label_is_refused(hub: Hub, tmp_path: Path, label: str) -> None:
    (tmp_path / "rootfs").mkdir()
    assert "is no label" in run("publish", str(tmp_path / "rootfs"), "--label", label, fails=UsageError)


def test_a_file_that_is_there_is_not_overwritten(hub: Hub, built: list[str], tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "kept.sif").touch()
    said = run("publish", str(tmp_path / "rootfs"), "--keep", str(tmp_path / "kept.sif"), fails=UsageError)
    assert "is there already" in said


def test_a_tag_is_resolved_and_a_digest_is_itself(hub: Hub) -> None:
    client = ImageClient(hub)
    run("tag", DIGEST, "alder/tool:1")
    assert client.resolve("fallow://alder/tool:1") == client.resolve(DIGEST) == DIGEST
    with pytest.raises(UsageError, match="no image called fallow://~/tool:1"):
        client.resolve("tool:1")


def test_tags_are_completed(hub: Hub) -> None:
    run("tag", DIGEST, "alder/tool:1")
    argument = commands.untag.params[0]
    context = commands.untag.make_context("untag", ["x"])
    assert [item.value for item in argument.shell_complete(context, "fallow://al")] == [
        "fallow://alder/tool:1"
    ]
    assert argument.shell_complete(context, "fallow://x") == []
