"""The testbed's hub: S3 store, identity provider, HTCondor and the gateway, each as an account of its own."""

from __future__ import annotations

import json
import subprocess

from fallow_testbed import files, issuer, s3
from fallow_testbed.host import Host
from fallow_testbed.layout import Layout
from fallow_testbed.wait import serve, wait_until

GATEWAY_PORT = 8443
MATCHER_METRICS_PORT = 9101
GATEWAY_URL = f"https://hub:{GATEWAY_PORT}"
SETTINGS = "/etc/fallow/hub.toml"
TLS = "/etc/fallow/tls"
ACCOUNT = "condor"
QUEUE = "queue@hub"
SAMPLE_S = 2
"""Seconds between two samples of the capacity: tests do not wait a minute for one."""
PROJECT = "genomes"
"""A project of all users of the first centre."""
CONDOR_ENVIRONMENT = {"CONDOR_CONFIG": "/etc/fallow/condor/condor_config"}


def hub_toml(layout: Layout) -> str:
    """The hub's settings file for the declared federation."""
    spec = layout.spec
    lines = [
        'name = "testbed"',
        f"trust_domain = {json.dumps(spec.trust_domain)}",
        'host = "hub"',
        f'listen = "{spec.addresses()["hub"]}"',
        f'account = "{ACCOUNT}"',
        f'tls_cert = "{TLS}/tls.pem"',
        f'tls_key = "{TLS}/tls-key.pem"',
        f'audiences = ["{GATEWAY_URL}"]',
        f'plain_names_issuer = "{issuer.URL}"',
        f'operators = ["{next(iter(spec.centres))}.{issuer.OPERATOR}"]',
        f"capacity_sample_s = {SAMPLE_S}",
        f"matching_interval_s = {SAMPLE_S}",
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
    hub.run(["install", "-d", "-o", ACCOUNT, "-m", "0700", "/var/lib/fallow"])
    hub.run(["fallow", "hub", "configure"])
    start_condor(hub)
    start_gateway(hub)
    start_matcher(hub)
    start_campaigns(hub)


def start_condor(hub: Host) -> None:
    """Start HTCondor's master and wait until the schedd is in the collector."""
    env = CONDOR_ENVIRONMENT
    hub.spawn(["condor_master", "-f"], user=ACCOUNT, env=env, log="/var/log/fallow/condor.log")

    def registered() -> bool:
        seen = hub.run(["condor_status", "-schedd", "-af", "Name"], user=ACCOUNT, env=env, check=False)
        return bool(seen.stdout.strip())

    wait_until(registered, "HTCondor on the hub", 60)


def start_matcher(hub: Host) -> subprocess.Popen[bytes]:
    """Start the matcher; nobody waits for it, as matching goes on without it."""
    return hub.spawn(["fallow", "-v", "hub", "matcher"], user=ACCOUNT, log="/var/log/fallow/matcher.log")


def start_campaigns(hub: Host) -> subprocess.Popen[bytes]:
    """Start the conductor of campaigns; nobody waits for it, as what is in the queue goes on without it."""
    return hub.spawn(["fallow", "-v", "hub", "campaigns"], user=ACCOUNT, log="/var/log/fallow/campaigns.log")


def start_gateway(hub: Host) -> None:
    """Start the gateway and wait until it takes connections."""
    serve(hub, ["fallow", "-v", "hub", "gateway"], user=ACCOUNT, port=GATEWAY_PORT, what="gateway")
