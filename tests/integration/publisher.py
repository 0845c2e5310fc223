"""A user who publishes images from a login host, and a registry there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import Any

from fallow_testbed import hub, people
from fallow_testbed.host import Host
from fallow_testbed.layout import Layout
from fallow_testbed.wait import wait_until

FALLOW = "/opt/fallow/bin/fallow"
USER = "local"
HOME = f"/home/{USER}"
MAKE = """set -e
cd {home}
rm -rf small && mkdir -p small/bin small/usr/bin small/proc small/sys small/dev small/tmp small/var/tmp small/etc
echo {word} > small/word
cp /usr/bin/busybox small/bin/
for name in sh cat sleep test true env rm mkdir touch sed kill; do ln -s busybox small/bin/$name; done
ln -s ../../bin/busybox small/usr/bin/env
"""
LAYOUT = """set -e
cd {home}
rm -rf layout layout.tar small.def
tar -C small -cf layer.tar .
mkdir -p layout/blobs/sha256
digest() {{ sha256sum "$1" | cut -d' ' -f1; }}
store() {{ cp "$1" layout/blobs/sha256/$(digest "$1"); }}
layer=$(digest layer.tar)
echo '{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:'$layer'"]}}}}' >config
kind=application/vnd.oci.image
echo '{{"schemaVersion":2,"config":{{"mediaType":"'$kind'.config.v1+json",
"digest":"sha256:'$(digest config)'","size":'$(stat -c %s config)'}},
"layers":[{{"mediaType":"'$kind'.layer.v1.tar","digest":"sha256:'$layer'","size":'$(stat -c %s layer.tar)'}}]}}' >manifest
store layer.tar; store config; store manifest
echo '{{"imageLayoutVersion":"1.0.0"}}' >layout/oci-layout
echo '{{"schemaVersion":2,"manifests":[{{"mediaType":"'$kind'.manifest.v1+json","digest":"sha256:'$(digest manifest)'",
"size":'$(stat -c %s manifest)'}}]}}' >layout/index.json
tar -C layout -cf layout.tar oci-layout index.json blobs
printf 'Bootstrap: localimage\\nFrom: {home}/small\\n%%labels\\nmade yes\\n' >small.def
"""
AT = "127.0.0.1:5000"
REGISTRY = f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: /tmp/registry}}}}
http: {{addr: "{AT}"}}
"""
PUSH = """
import json
from pathlib import Path
from urllib.request import Request, urlopen
api = "http://127.0.0.1:5000/v2/small"
def blob(digest):
    return Path("/home/local/layout/blobs/sha256", digest.partition(":")[2]).read_bytes()
def send(method, url, data, kind):
    return urlopen(Request(url, method=method, data=data, headers={"Content-Type": kind}))
[image] = json.loads(Path("/home/local/layout/index.json").read_text())["manifests"]
manifest = blob(image["digest"])
said = json.loads(manifest)
for part in (said["config"], *said["layers"]):
    place = send("POST", f"{api}/blobs/uploads/", b"", "application/octet-stream").headers["Location"]
    send("PUT", f"{place}&digest={part['digest']}", blob(part["digest"]), "application/octet-stream")
send("PUT", f"{api}/manifests/layers", manifest, image["mediaType"])
"""


class Publisher:
    """A user who publishes images from a login host, where Apptainer is."""

    def __init__(self, layout: Layout, person: str, centre: str) -> None:
        self.host: Host = layout.login(centre)
        home = people.home(layout, person)
        self.env = {
            "FALLOW_HUB": hub.GATEWAY_URL,
            "FALLOW_CA_FILE": f"{HOME}/{person}.pem",
            "BEARER_TOKEN_FILE": f"{HOME}/{person}.token",
        }
        for source, name in (("token", "token"), ("ca.pem", "pem")):
            self.shell(f"umask 077; cat > {HOME}/{person}.{name}", stdin=(home / source).read_text())

    def shell(self, script: str, **more: Any) -> CompletedProcess[str]:
        """Run a script on the login host."""
        return self.host.run(["sh", "-c", script], user=USER, **more)

    def fallow(self, *argv: str, check: bool = True) -> CompletedProcess[str]:
        """`fallow image …`."""
        line = [
            FALLOW,
            "image",
            *(word.replace("~", HOME, 1) if word.startswith("~/") else word for word in argv),
        ]
        return self.host.run(line, user=USER, env=self.env, check=check)

    def json(self, *argv: str) -> Any:
        """What `fallow image … --json` says."""
        return json.loads(self.fallow(*argv, "--json").stdout)

    def small(self, word: str, *options: str) -> str:
        """Publish an image of a directory with a word in it; its digest."""
        self.shell(MAKE.format(home=HOME, word=word))
        return str(self.json("publish", "~/small", *options)["digest"])


@contextmanager
def serving(publisher: Publisher) -> Iterator[str]:
    """A registry with the image of a layout, `layers`, and a SIF, `sif`; gives what both are called there."""
    publisher.shell(MAKE.format(home=HOME, word="registry") + LAYOUT.format(home=HOME))
    publisher.shell("cat >~/registry.yml", stdin=REGISTRY)
    host = publisher.host
    host.spawn(["docker-registry", "serve", f"{HOME}/registry.yml"], user=USER, log="/tmp/registry.log")
    try:
        push = ["/usr/bin/python3", "-c", PUSH]
        ask = ["/usr/bin/python3", "-c", f"from urllib.request import *; urlopen('http://{AT}/v2/')"]
        wait_until(lambda: host.run(ask, user=USER, check=False).returncode == 0, "the registry", 60)
        host.run(push, user=USER)
        publisher.shell(
            f"apptainer build -F ~/of.sif ~/small && apptainer push --no-https ~/of.sif oras://{AT}/small:sif"
        )
        yield f"{AT}/small"
    finally:
        host.run(["pkill", "-x", "docker-registry"], check=False)
