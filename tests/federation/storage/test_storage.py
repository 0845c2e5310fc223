import json
import os
import shlex
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fallow.client import ClientSettings
from fallow.errors import NotAvailableError
from fallow.messages import StorageAccess
from fallow.storage import environment
from fallow.storage.aws import config, process_document
from fallow.storage.environment import has_own_access


def access(**changes: Any) -> StorageAccess:
    plain = {
        "endpoint": "http://s3.example.org:8333", "region": "eu-1", "bucket": "users", "prefix": "alice",
        "access_key": "the-key", "secret_key": "the%secret", "session_token": "the-token",
        "expires": datetime(2026, 11, 21, 12, tzinfo=UTC),
    }  # fmt: skip
    return StorageAccess(**{**plain, **changes})


def test_boto3_takes_the_place_and_the_credentials_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    (tmp_path / "given.json").write_text(
        json.dumps(process_document(access(expires=datetime(2999, 1, 1, tzinfo=UTC))))
    )
    (tmp_path / "config").write_text(
        config(access(), credential_process=shlex.join(["cat", str(tmp_path / "given.json")]))
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    session = boto3.session.Session()
    keys = session.get_credentials()
    assert keys is not None
    assert (keys.access_key, keys.secret_key, keys.token) == ("the-key", "the%secret", "the-token")
    client = session.client("s3")
    assert client.meta.endpoint_url == "http://s3.example.org:8333"
    assert client.generate_presigned_url("get_object", {"Bucket": "users", "Key": "k"}).startswith(
        "http://s3.example.org:8333/users/k?"
    )


def test_a_line_break_from_the_hub_cannot_add_a_setting() -> None:
    with pytest.raises(NotAvailableError, match="line break"):
        config(access(endpoint="http://x\ncredential_process = reboot"))


def test_credentials_say_when_they_expire() -> None:
    document = process_document(access())
    assert document["Expiration"] == "2026-11-21T12:00:00+00:00"
    assert json.loads(json.dumps(document))["Version"] == 1


def test_the_submitting_sides_file_holds_no_secret(tmp_path: Path) -> None:
    settings = ClientSettings(hub="https://hub.example.org:8443")
    variables = environment(access(), settings, {"XDG_CACHE_HOME": str(tmp_path)})
    path = Path(variables["AWS_CONFIG_FILE"])
    text = path.read_text()
    assert "credential_process" in text
    assert not [
        secret for secret in ("the-key", "the%secret", "the-token") if secret in text + str(variables)
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert variables["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_a_private_authority_is_trusted_beside_the_machines(tmp_path: Path) -> None:
    (tmp_path / "machine.pem").write_text("MACHINE")
    (tmp_path / "ca.pem").write_text("FEDERATION")
    settings = ClientSettings(hub="https://hub.example.org", ca_file=tmp_path / "ca.pem")
    environ = {"XDG_CACHE_HOME": str(tmp_path), "AWS_CA_BUNDLE": str(tmp_path / "machine.pem")}
    variables = environment(access(endpoint="https://s3.example.org"), settings, environ)
    assert Path(variables["AWS_CA_BUNDLE"]).read_text().split() == ["MACHINE", "FEDERATION"]


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "SNAKEMAKE_STORAGE_S3_ACCESS_KEY"])
def test_an_access_that_the_user_chose_is_seen(name: str) -> None:
    assert has_own_access({name: "mine"})
    assert not has_own_access({})
