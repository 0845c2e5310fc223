"""`fallow hub init`: the first settings file of a hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from fallow.errors import UsageError

_TEXT = """\
# The hub of a Fallow federation. Every setting: matcher/README.md. After a change: fallow hub init
name = {name}
trust_domain = {trust_domain}    # the part after @ of every identity; it never changes
host = {host}    # the name under which others reach this machine
listen = {listen}    # the one address of this machine that the hub binds to
tls_cert = "/etc/fallow/tls/tls.pem"        # certificate with its chain
tls_key = "/etc/fallow/tls/tls-key.pem"     # of the hub's account, mode 0600
audiences = [{audience}]
# operators = ["north.olga"]    # who sees on the hub's page how its parts are

[storage]
endpoint = {endpoint}
bucket = {bucket}
keys_file = "/etc/fallow/s3-keys.toml"      # access_key = "…", secret_key = "…"; of the hub's account, mode 0600

[[issuers]]
url = {issuer}    # exactly as its tokens say in `iss`
centre_root = "/fallow"    # members of /fallow/<centre> belong to <centre>
client_id = "fallow"    # the public client, for `fallow login`
"""

_CENTRE = """
[[centres]]
name = {name}
launcher_issuer = {issuer}
launcher_sub = {sub}    # the `sub` of the tokens of its launcher
"""

NEEDED = ("name", "host", "listen", "endpoint", "issuer")


def first_settings(given: Mapping[str, str], centres: Sequence[str]) -> str:
    """The text of a new `hub.toml`.

    Args:
        given: `name`, `host`, `listen`, `endpoint`, `issuer`, and `trust_domain`, `bucket` where they are not the usual.
        centres: `NAME=SUB` for each centre: its name, and the `sub` of its launcher's tokens.

    Raises:
        UsageError: Something is missing, or a centre is not written so.
    """
    missing = [f"--{name}" for name in NEEDED if not given.get(name)] + ([] if centres else ["--centre"])
    if missing:
        raise UsageError(
            f"There are no settings yet, and {', '.join(missing)} is missing to write some.",
            remedy="Give these options, or write the settings file yourself.",
        )
    host = given["host"]
    values = {
        **given,
        "trust_domain": given.get("trust_domain") or host,
        "bucket": given.get("bucket") or "fallow",
    }
    values["audience"] = f"https://{host}:8443"
    quoted = {name: json.dumps(value) for name, value in values.items()}  # JSON strings are TOML as well
    text = _TEXT.format(**quoted)
    for centre in centres:
        name, separator, sub = centre.partition("=")
        if not separator:
            raise UsageError(f"{centre!r} is no centre.", remedy="Write --centre NAME=SUB.")
        text += _CENTRE.format(name=json.dumps(name), issuer=quoted["issuer"], sub=json.dumps(sub))
    return text
