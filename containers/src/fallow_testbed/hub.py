"""The testbed's hub: S3 store, identity provider, HTCondor and the gateway, each as an account of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

from fallow_testbed import database, files, issuer, s3
from fallow_testbed.host import Host
from fallow_testbed.layout import Layout
from fallow_testbed.spec import Federation
from fallow_testbed.wait import serve, wait_until

GATEWAY_PORT = 8443
MATCHER_METRICS_PORT = 9101
GATEWAY_URL = f"https://hub:{GATEWAY_PORT}"
SECOND_URL = f"https://hub2:{GATEWAY_PORT}"
ALONE = {"hub": GATEWAY_URL}
"""How people and centres name a hub that is the only one."""
SETTINGS = "/etc/fallow/hub.toml"
TLS = "/etc/fallow/tls"
SHARED = "/root/shared.tar.gz"
"""What the first of two hubs shares with the second."""
ACCOUNT = "condor"
QUEUE = "queue@hub"
SAMPLE_S = 2
"""Seconds between two samples of the capacity: tests do not wait a minute for one."""
PROJECT = "genomes"
"""A project of all users of the first centre."""
UP = ("fallow", "hub", "up", "--foreground")
"""Each part alone, so that a test can end one; the command becomes the part, as the hub's account."""
CONDOR_ENVIRONMENT = {"CONDOR_CONFIG": "/etc/fallow/condor/condor_config"}


def named(spec: Federation) -> Mapping[str, str]:
    """How people and centres name the hub in their settings."""
    return {"hub": SECOND_URL, "other_hub": GATEWAY_URL} if spec.second_hub else ALONE


def hub_toml(layout: Layout, host: str = "hub") -> str:
    """The settings file of the hub at `host` for the declared federation."""
    spec = layout.spec
    lines = [
        'name = "testbed"',
        f"trust_domain = {json.dumps(spec.trust_domain)}",
        f'host = "{host}"',
        f'listen = "{spec.addresses()[host]}"',
        f'account = "{ACCOUNT}"',
        f'tls_cert = "{TLS}/tls.pem"',
        f'tls_key = "{TLS}/tls-key.pem"',
        f'audiences = ["{GATEWAY_URL}"]',
        f'plain_names_issuer = "{issuer.URL}"',
        f'operators = ["{next(iter(spec.centres))}.{issuer.OPERATOR}"]',
        f"capacity_sample_s = {SAMPLE_S}",
        f"matching_interval_s = {SAMPLE_S}",
        *(
            [f'database = "{database.URL}"', "[pair]", 'first = "hub"', 'second = "hub2"']
            if spec.second_hub
            else []
        ),
        "[ports]",
        f"matcher_metrics = {MATCHER_METRICS_PORT}",
        "[storage]",
        f'endpoint = "{s3.ENDPOINT}"',
        f'bucket = "{s3.BUCKET}"',
        f'keys_file = "{s3.KEYS_FILE}"',
        'jobs = "web-identity"',
        f'ca_file = "{TLS}/ca.pem"',
        "[[issuers]]",
        f'url = "{issuer.URL}"',
        f'ca_file = "{TLS}/ca.pem"',
        'centre_root = "/fallow"',
        f'client_id = "{issuer.CLIENT}"',
    ]
    members = [f"{centre}.*" for centre in spec.centres][:1]
    lines += ["[[projects]]", f'name = "{PROJECT}"', f"members = {json.dumps(members)}"]
    for centre in spec.centres:
        account = issuer.launcher_account(centre)
        lines += [
            "[[centres]]",
            f'name = "{centre}"',
            f'launcher_issuer = "{issuer.URL}"',
            f'launcher_sub = "{account}"',
        ]
    return "\n".join(lines) + "\n"


def start(layout: Layout) -> None:
    """Bring the started host `hub` to service."""
    hub = layout.hub()
    issuer.start(hub, layout.spec)
    s3.start(hub, GATEWAY_URL)
    issuer.certificate(hub, TLS, ACCOUNT)
    files.write(hub, SETTINGS, hub_toml(layout))
    if layout.spec.second_hub:
        database.start(layout.desk(), layout.spec.addresses()["desk"])
    start_parts(hub)
    if layout.spec.second_hub:
        start_second(layout)


def start_second(layout: Layout) -> None:
    """Bring the started host `hub2` to service beside the hub, with what that one shares."""
    hub, second = layout.hub(), layout.second_hub()
    issuer.certificate(hub, TLS, ACCOUNT, second)
    files.write(second, SETTINGS, hub_toml(layout, second.name))
    hub.run(["fallow", "hub", "share", "--output", SHARED])
    (second.files / SHARED.lstrip("/")).write_bytes((hub.files / SHARED.lstrip("/")).read_bytes())
    second.run(["fallow", "hub", "join", SHARED])
    start_parts(second)


def start_parts(hub: Host) -> None:
    """Set a hub up by its settings, and start all that it is made of."""
    hub.run(["fallow", "hub", "init"])
    start_condor(hub)
    start_gateway(hub)
    start_matcher(hub)
    start_campaigns(hub)


def start_condor(hub: Host) -> None:
    """Start HTCondor's master and wait until the schedd is in the collector."""
    env = CONDOR_ENVIRONMENT
    hub.spawn([*UP, "condor"], log="/var/log/fallow/condor.log")

    def registered() -> bool:
        seen = hub.run(["condor_status", "-schedd", "-af", "Name"], user=ACCOUNT, env=env, check=False)
        return bool(seen.stdout.strip())

    wait_until(registered, "HTCondor on the hub", 60)


def start_matcher(hub: Host) -> subprocess.Popen[bytes]:
    """Start the matcher; nobody waits for it, as matching goes on without it."""
    return hub.spawn([*UP, "matcher"], log="/var/log/fallow/matcher.log")


def start_campaigns(hub: Host) -> subprocess.Popen[bytes]:
    """Start the conductor of campaigns; nobody waits for it, as what is in the queue goes on without it."""
    return hub.spawn([*UP, "campaigns"], log="/var/log/fallow/campaigns.log")


def start_gateway(hub: Host) -> None:
    """Start the gateway and wait until it takes connections."""
    serve(hub, [*UP, "gateway"], user="root", port=GATEWAY_PORT, what="gateway")
