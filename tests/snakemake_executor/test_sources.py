import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from fallow.errors import NotAvailableError
from snakemake_executor_plugin_fallow import sources


class Workflow:
    """Writes its files in whatever order it is told."""

    dag = SimpleNamespace(jobs=())
    included = rules = ()

    def __init__(self, *names: str) -> None:
        self.names = names

    def write_source_archive(self, path: Path) -> None:
        with tarfile.open(path, "w:xz") as archive:
            for name in self.names:
                archive.add(name)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "Snakefile").write_text("rule all:")
    (tmp_path / "scripts" / "map.py").write_text("print(1)")
    return tmp_path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="users")
        yield client


def keys(store: Any) -> list[str]:
    return [found["Key"] for found in store.list_objects_v2(Bucket="users").get("Contents", [])]


def test_the_same_files_make_the_same_archive(files: Path) -> None:
    first = sources.pack(Workflow("Snakefile", "scripts/map.py"))
    (files / "Snakefile").touch()
    assert sources.pack(Workflow("scripts/map.py", "Snakefile")) == first
    (files / "Snakefile").write_text("rule other:")
    assert sources.pack(Workflow("Snakefile", "scripts/map.py")) != first


def test_what_comes_out_is_what_went_in(files: Path) -> None:
    packed = sources.pack(Workflow("Snakefile", "scripts/map.py"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["Snakefile", "scripts/map.py"]
        file = archive.extractfile("scripts/map.py")
        assert file is not None
        assert file.read() == b"print(1)"


def test_runs_with_the_same_sources_share_one_archive(store: Any) -> None:
    first = sources.publish(b"archive", "s3://users/alice/w")
    assert sources.publish(b"archive", "s3://users/alice/w/") == first
    assert keys(store) == [f"alice/w/.fallow/sources/{first.sha256}.tar.xz"]
    assert first.url == f"s3://users/{keys(store)[0]}"


def test_an_archive_that_nobody_used_for_long_is_let_go(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = sources.publish(b"old", "s3://users/w")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + sources.KEPT + timedelta(hours=1)

    monkeypatch.setattr(sources, "datetime", Later)
    new = sources.publish(b"new", "s3://users/w")
    assert keys(store) == [f"w/.fallow/sources/{new.sha256}.tar.xz"]
    assert old.sha256 != new.sha256


def test_a_bucket_of_ones_own_is_made_when_it_is_first_needed(store: Any) -> None:
    sources.publish(b"archive", "s3://mine/w")
    assert {found["Name"] for found in store.list_buckets()["Buckets"]} == {"users", "mine"}


def test_a_storage_that_does_not_take_it_is_named(store: Any) -> None:
    with pytest.raises(NotAvailableError, match="s3://x/w"):
        sources.publish(b"archive", "s3://x/w")
