"""A real S3 server with a real STS, which believes the hub's keys and, by OpenID Connect, the hub's word."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fallow_matcher.gateway import s3
from fallow_matcher.gateway.webidentity import AUDIENCE

HUB_KEYS = ("hub", "not-a-real-secret")
IAM: dict[str, Any] = {
    "sts": {
        "tokenDuration": "1h",
        "maxSessionLength": "12h",
        "issuer": "fallow-sts",
        "signingKey": "bm90LWEtcmVhbC1zaWduaW5nLWtleS0zMi1jaGFycy4=",
    },
    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    "roles": [
        {
            "roleName": "fallow-user",
            "roleArn": "arn:aws:iam::role/fallow-user",
            "trustPolicy": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": ["arn:aws:iam::000000000000:user/hub"]},
                        "Action": ["sts:AssumeRole"],
                    }
                ],
            },
            "attachedPolicies": ["fallow-users"],
        }
    ],
    "policies": [
        {
            "name": "fallow-users",
            "document": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": [*s3.OBJECT_ACTIONS, *s3.BUCKET_ACTIONS],
                        "Resource": ["arn:aws:s3:::fallow-*"],
                    }
                ],
            },
        }
    ],
}


def free_ports(count: int) -> list[int]:
    """Ports that are free now, as are those 10000 above them, which the server takes for gRPC."""
    found: list[int] = []
    for port in range(20000, 50000, 7):
        with socket.socket() as plain, socket.socket() as grpc:
            try:
                plain.bind(("127.0.0.1", port))
                grpc.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def connect(service: str, endpoint: str, access: str, secret: str, session: str | None = None) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        aws_session_token=session,
        config=Config(
            s3={"addressing_style": "path"}, retries={"max_attempts": 5, "mode": "standard"}, read_timeout=30
        ),
    )


@contextmanager
def served(root: Path, issuer: str, jwks: dict[str, Any]) -> Iterator[str]:
    """Run the server; its URL.

    Args:
        root: An empty directory.
        issuer: Whose tokens its STS believes.
        jwks: That issuer's keys; looked at whenever the server asks.
    """
    with _published(jwks) as url:
        iam = {**IAM, "providers": [_provider(issuer, url)]}
        iam["roles"] = [*IAM["roles"], _JOB_ROLE]
        with _server(root, iam) as endpoint:
            yield endpoint


def _provider(issuer: str, jwks_url: str) -> dict[str, Any]:
    config = {"issuer": issuer, "clientId": AUDIENCE, "jwksUri": jwks_url}
    return {"name": "hub", "type": "oidc", "enabled": True, "config": config}


_JOB_ROLE = {
    "roleName": "fallow-job",
    "roleArn": "arn:aws:iam::role/fallow-job",
    "trustPolicy": {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "hub"},
                "Action": ["sts:AssumeRoleWithWebIdentity"],
            }
        ],
    },
    "attachedPolicies": ["fallow-users"],
}


@contextmanager
def _published(document: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _server(root: Path, iam: dict[str, Any]) -> Iterator[str]:
    keys = [{"accessKey": HUB_KEYS[0], "secretKey": HUB_KEYS[1]}]
    identity = {"name": "hub", "credentials": keys, "actions": ["Admin"]}
    (root / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (root / "iam.json").write_text(json.dumps(iam))
    master, volume, filer, port = free_ports(4)
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    argv = [weed, "server", f"-dir={root}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}"]
    argv += [
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        "-volume.max=20",
        "-master.volumeSizeLimitMB=16",
    ]
    argv += ["-s3", f"-s3.port={port}", f"-s3.config={root}/s3.json", f"-s3.iam.config={root}/iam.json"]
    argv += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false"]
    with (root / "log").open("wb") as log, subprocess.Popen(argv, cwd=root, stdout=log, stderr=log) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(url, server)
            yield url
        finally:
            server.kill()  # a graceful end takes it half a minute, and its data is the test's


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    client = connect("s3", url, *HUB_KEYS)
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            client.create_bucket(Bucket="fallow")
            client.put_object(Bucket="fallow", Key="ready", Body=b"")
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the S3 server did not start")
