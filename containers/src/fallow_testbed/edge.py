"""The one host of a centre that gets out: with an HTTP proxy for the centre, or with ssh into its login host."""

from __future__ import annotations

from fallow_testbed import files, hub, issuer, s3
from fallow_testbed.host import Host
from fallow_testbed.layout import CENTRE_ACCOUNTS, Layout
from fallow_testbed.spec import Centre
from fallow_testbed.wait import serve

PILOT, PERSON = CENTRE_ACCOUNTS
PORT = 3128
SSH_PORT = 22
LOGIN = "site:let-me-out"
"""The proxy's login, `user:password`."""
LOGIN_FILE = "/home/pilot/proxy.login"
CONF = "/etc/tinyproxy.conf"
SSHD_CONF = "/etc/ssh/sshd_testbed_config"
CA_FILE = "/home/local/ca.pem"
CLIENT = {"FALLOW_HUB": hub.GATEWAY_URL, "FALLOW_CA_FILE": CA_FILE}
"""The environment in which a person at the edge uses Fallow."""
HUB_PORTS = (hub.GATEWAY_PORT, 9618, 9619, s3.PORT)


def network(name: str, declared: Centre) -> dict[str, object]:
    """What the policy says of the way out."""
    if declared.edge == "proxy":
        proxied = {"profile": "proxy"} if declared.nodes_reach == "everything" else {}
        return {**proxied, "proxy": f"http://{name}-edge:{PORT}", "proxy_login_file": LOGIN_FILE}
    return {"attached": True} if declared.edge == "ssh" else {}


def proxy_conf(ports: tuple[int, ...] = HUB_PORTS) -> str:
    """`tinyproxy.conf` of a proxy that leads to `ports` of any host, for those who know the login."""
    allowed = "".join(f"ConnectPort {port}\n" for port in ports)
    return f"Port {PORT}\nTimeout 600\nMaxClients 200\nBasicAuth {LOGIN.replace(':', ' ')}\n{allowed}"


def start_proxy(edge: Host, ports: tuple[int, ...] = HUB_PORTS) -> None:
    """Start the proxy and wait until it listens."""
    files.write(edge, CONF, proxy_conf(ports))
    serve(edge, ["tinyproxy", "-d", "-c", CONF], user=PERSON, port=PORT, what="proxy")


def sshd_conf(forwarding: bool = True) -> str:
    """`sshd_config` of a login host that takes keys only."""
    allowed = "yes" if forwarding else "no"
    return (
        f"Port {SSH_PORT}\nHostKey /etc/ssh/testbed_key\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"UsePAM no\nPidFile none\nAllowTcpForwarding {allowed}\n"
    )


def start_sshd(login: Host, *, forwarding: bool = True) -> None:
    """Start sshd on a login host and wait until it listens."""
    login.run(["install", "-d", "-m", "0755", "/run/sshd"])
    files.write(login, SSHD_CONF, sshd_conf(forwarding))
    serve(login, ["/usr/sbin/sshd", "-D", "-e", "-f", SSHD_CONF], user="root", port=SSH_PORT, what="sshd")


def let_in(layout: Layout, name: str) -> None:
    """Give the account `local` of the edge a key to the account of the launcher, and the login host one of its own."""
    login, edge = layout.login(name), layout.edge(name)
    login.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/testbed_key"])
    edge.run(["install", "-d", "-m", "0700", "/home/local/.ssh"], user=PERSON)
    edge.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/home/local/.ssh/id_ed25519"], user=PERSON
    )
    public = edge.run(["cat", "/home/local/.ssh/id_ed25519.pub"]).stdout
    host_key = login.run(["cat", "/etc/ssh/testbed_key.pub"]).stdout
    login.run(["install", "-d", "-m", "0700", "/home/pilot/.ssh"], user=PILOT)
    pilot, person = files.ids(login, PILOT), files.ids(edge, PERSON)
    files.write(login, "/home/pilot/.ssh/authorized_keys", public, mode=0o600, owner=pilot)
    files.write(edge, "/home/local/.ssh/known_hosts", f"{name} {host_key}", owner=person)
    ca = (layout.hub().files / issuer.CA_FILE.lstrip("/")).read_text()
    files.write(edge, CA_FILE, ca, owner=person)


def attach(layout: Layout, name: str, policy: str) -> None:
    """Start what leads the login host out, as a person types it at the edge."""
    argv = ["fallow", "-v", "pilot", "attach", f"{PILOT}@{name}", "--policy", policy]
    layout.edge(name).spawn(argv, user=PERSON, env=CLIENT, log="/var/log/fallow/attach.log")


def start(layout: Layout, name: str, policy: str) -> None:
    """Start what a centre has an edge for; nothing where it has none. `policy` lies on the login host already."""
    kind = layout.spec.centres[name].edge
    if kind == "proxy":
        start_proxy(layout.edge(name))
        login = layout.login(name)
        files.write(login, LOGIN_FILE, LOGIN + "\n", mode=0o600, owner=files.ids(login, PILOT))
    elif kind == "ssh":
        let_in(layout, name)
        start_sshd(layout.login(name))
        attach(layout, name, policy)
