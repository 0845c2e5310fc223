"""A real S3 server on this machine."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def served(place: Path) -> Iterator[str]:
    """The URL of a server with the bucket `users`, which user `key` may use but not delete; it keeps all in `place`."""
    may = {"admin": ["Admin"], "key": ["Read:users", "Write:users", "List:users"]}
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": "secret"}], "actions": actions}
        for name, actions in may.items()
    ]
    (place / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = [free_port() for _ in range(4)]
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    command = ["weed", "server", f"-dir={place}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-s3.config={place / 's3.json'}", "-volume.max=50", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    program = Path(sys.executable).with_name("weed")
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([str(program), *command[1:]], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports[-1]}"
    try:
        _make_bucket(url, process, place / "log")
        yield url
    finally:
        process.kill()  # there is nothing to keep
        process.wait()


def _make_bucket(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    admin = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="admin",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(BotoCoreError, ClientError):
            admin.create_bucket(Bucket="users")
            admin.put_object(Bucket="users", Key="ready", Body=b"")
            return
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(log.read_text()[-2000:])
        time.sleep(0.2)


def free_port() -> int:
    """A port below those whose tenfold SeaweedFS needs for gRPC (port + 10000)."""
    while True:
        with socket.socket() as tried, socket.socket() as second:
            tried.bind(("127.0.0.1", 0))
            port = tried.getsockname()[1]
            if port > 55_000:
                continue
            with contextlib.suppress(OSError):
                second.bind(("127.0.0.1", port + 10_000))
                return int(port)
