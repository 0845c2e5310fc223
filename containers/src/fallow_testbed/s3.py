"""The testbed's S3 store: SeaweedFS over TLS on the hub. Only its S3 port is reachable; the rest stays on loopback."""

from __future__ import annotations

import base64
import json
import secrets

from fallow_testbed import files, issuer
from fallow_testbed.host import Host
from fallow_testbed.spec import HUB_ADDRESS
from fallow_testbed.wait import serve

PORT = 8333
ENDPOINT = f"https://hub:{PORT}"
BUCKET = "fallow"
DIRECTORY = "/var/lib/s3"
TLS = f"{DIRECTORY}/tls"
KEYS_FILE = "/etc/fallow/s3-keys.toml"


ACTIONS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
    "s3:ListBucket",
    "s3:GetBucketLocation",
)
"""What users may do in their own bucket; the gateway narrows it further for each of them."""


def iam(gateway_url: str) -> dict[str, object]:
    """SeaweedFS's IAM settings: a role for users that only the hub may assume (STS `AssumeRole`), and one for jobs that
    needs a token of the hub (`AssumeRoleWithWebIdentity`).
    """
    hub_user = {"AWS": ["arn:aws:iam::000000000000:user/hub"]}
    trust = {"Effect": "Allow", "Principal": hub_user, "Action": ["sts:AssumeRole"]}
    allowed = {"Effect": "Allow", "Action": list(ACTIONS), "Resource": [f"arn:aws:s3:::{BUCKET}-*"]}
    believed = {
        "Effect": "Allow",
        "Principal": {"Federated": "hub"},
        "Action": ["sts:AssumeRoleWithWebIdentity"],
    }
    config = {
        "issuer": gateway_url,
        "clientId": "fallow-jobs",
        "jwksUri": f"{gateway_url}/.well-known/jwks.json",
        "tlsCaCert": f"{TLS}/ca.pem",
    }
    return {
        "providers": [{"name": "hub", "type": "oidc", "enabled": True, "config": config}],
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "fallow-sts",
            "signingKey": base64.b64encode(secrets.token_bytes(32)).decode(),
        },
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [
            {
                "roleName": name,
                "roleArn": f"arn:aws:iam::role/{name}",
                "trustPolicy": {"Version": "2012-10-17", "Statement": [statement]},
                "attachedPolicies": ["fallow-users"],
            }
            for name, statement in (("fallow-user", trust), ("fallow-job", believed))
        ],
        "policies": [{"name": "fallow-users", "document": {"Version": "2012-10-17", "Statement": [allowed]}}],
    }


def start(hub: Host, gateway_url: str) -> None:
    """Start the store with one administrator, whose keys the gateway alone gets."""
    access, secret = "hub", secrets.token_urlsafe(32)
    owner = files.ids(hub, "s3")
    identity = {
        "name": "hub",
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": ["Admin"],
    }
    files.write(hub, "/etc/fallow/s3.json", json.dumps({"identities": [identity]}), mode=0o600, owner=owner)
    files.write(hub, "/etc/fallow/iam.json", json.dumps(iam(gateway_url)), mode=0o600, owner=owner)
    keys = f'access_key = "{access}"\nsecret_key = "{secret}"\n'
    files.write(hub, KEYS_FILE, keys, mode=0o600, owner=files.ids(hub, "condor"))
    hub.run(["install", "-d", "-o", "s3", "-m", "0700", DIRECTORY, f"{DIRECTORY}/data"])
    issuer.certificate(hub, TLS, "s3")
    serve(hub, server_argv(), user="s3", port=PORT, what="s3")


def server_argv() -> list[str]:
    """The command line of the store; it holds no secret."""
    return [
        "weed", "server", f"-dir={DIRECTORY}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=64", "-s3", f"-s3.ip.bind={HUB_ADDRESS}", f"-s3.port={PORT}", "-s3.config=/etc/fallow/s3.json",
        "-s3.iam.config=/etc/fallow/iam.json",
               f"-s3.cert.file={TLS}/tls.pem", f"-s3.key.file={TLS}/tls-key.pem", "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
    ]  # fmt: skip
