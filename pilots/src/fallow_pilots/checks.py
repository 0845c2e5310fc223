"""`fallow pilot check`: is everything here that a launcher needs, and what to do where it is not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError, NotAvailableError
from fallow.files import read_private
from fallow.messages import SCOPE_PILOT
from fallow_pilots.centre import Centre
from fallow_pilots.policy import Policy
from fallow_pilots.prepare import node_command
from fallow_pilots.proposal import Proposal, propose
from fallow_pilots.relay.upstream import require_leads
from fallow_pilots.wayout import WAYS, look_out

LEAST_STATE_MB = 100
"""Free space for the launcher's memory and the pilots' logs."""

BEFORE_NODES = ("node command", "batch programs", "batch system", "hub", "way out", *WAYS)
"""Checks without which no node is looked at."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    fit: bool
    finding: str
    remedy: str = ""
    line: str = ""
    """What to write into the policy's file."""


def run_checks(policy_file: Path, node_wait_s: float | None, say: Callable[[str], None]) -> list[Finding]:
    """Look at everything that can be looked at; what depends on something unfit is left out.

    Args:
        policy_file: The centre's policy.
        node_wait_s: How long a node may take for its check; None: no node is checked.
        say: Is told what becomes of that check while it takes.
    """
    found: list[Finding] = []
    centres: list[Centre] = []

    def opened() -> str:
        centres.append(Centre(policy_file))
        return f"{policy_file} is in order."

    found.append(_tried("policy", opened))
    for centre in centres:
        found += _of_centre(centre)
        unfit = {finding.check for finding in found if not finding.fit}
        # What a node lacks can be told once it is known how this host gets out.
        if node_wait_s is not None and unfit.isdisjoint(BEFORE_NODES):
            found += _nodes(centre, node_wait_s, say)
        centre.store.close()
    return found


def _of_centre(centre: Centre) -> Iterator[Finding]:
    policy = centre.policy
    yield _tried("host", lambda: _host(centre))
    yield _tried("node command", lambda: _node_command(centre))
    missing = [program for program in centre.batch.programs if shutil.which(program) is None]
    yield Finding(
        "batch programs",
        not missing,
        f"Missing: {', '.join(missing)}." if missing else f"{', '.join(centre.batch.programs)} are on PATH.",
        "Install the batch system's client, or put it on the launcher's PATH." if missing else "",
    )
    if not missing:
        yield _tried("batch system", lambda: _batch(centre))
        yield from _people(centre)
    token = _tried("WLCG token", lambda: _token(policy))
    yield token
    yield _way_out(centre)
    hub = _tried("hub", lambda: _hub(centre))
    yield hub
    if token.fit and hub.fit:
        yield _tried("token exchange", lambda: _exchange(centre))


def _nodes(centre: Centre, wait_s: float, say: Callable[[str], None]) -> Iterator[Finding]:
    from fallow_pilots.nodecheck import check_node, relay_address

    federation = centre.hub.federation()
    for shape in centre.policy.pilot.shapes:
        size = f"{shape.cores} cores" + (f", {shape.gpus} GPUs" if shape.gpus else "")
        try:
            looked = check_node(centre, federation, shape, wait_s, say)
        except FallowError as error:
            yield Finding(f"node for {size}", False, error.what, error.remedy)
            continue
        for one in looked.seen:
            remedy = (
                "" if one.good else "Mend the node, or keep pilots off it (batch.features, batch.options)."
            )
            yield Finding(f"node {looked.node}: {one.check}", one.good, one.words, remedy)
        for proposal in propose(centre.policy, looked.attributes, relay_address(centre.policy)):
            yield _proposed(proposal)


def _proposed(proposal: Proposal) -> Finding:
    line = f"{proposal.clause} = {proposal.value}" if proposal.value else ""
    remedy = proposal.remedy or (f"Write {line} into the policy." if line and not proposal.stands else "")
    return Finding(f"policy: {proposal.clause}", proposal.stands, proposal.reason, remedy, line)


def _host(centre: Centre) -> str:
    free_mb = shutil.disk_usage(centre.layout.root).free >> 20
    if free_mb < LEAST_STATE_MB:
        raise NotAvailableError(
            f"{free_mb} MB are free at {centre.layout.root}.", remedy="Free some, or name another state_dir."
        )
    version = ".".join(map(str, sys.version_info[:3]))
    return f"Python {version}; {centre.layout.root} is private to this user, {free_mb} MB are free."


def _tried(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, look())
    except FallowError as error:
        return Finding(check, False, error.what, error.remedy)


def _node_command(centre: Centre) -> str:
    command = node_command(centre.policy)
    if not os.access(command, os.X_OK):
        raise NotAvailableError(
            f"{command} is not a program.",
            remedy="Name the installed fallow-pilot-node in assume.node_command.",
        )
    return f"{command} is a program here; compute nodes must see it too."


def _batch(centre: Centre) -> str:
    view = centre.launcher.look()
    if view.spare is None:
        raise NotAvailableError(
            view.trouble or "The batch system does not answer.", remedy="Try the command by hand."
        )
    active = sum(record.active for record in view.records)
    idle = sum(node.idle for node in view.spare.nodes)
    return f"It answers: {len(view.spare.nodes)} nodes have room, {idle} are idle, {active} pilots are here."


def _people(centre: Centre) -> Iterator[Finding]:
    """Whether the launcher reaches the people whom the policy names; that one has not consented is no fault."""
    seen = centre.people.look([], [])
    refusals = seen.refusals(centre.policy)
    for person in centre.policy.accounts.people:
        fit = person.account not in seen.silent
        remedy = "" if fit else "Let accounts.become run fallow-pilot-deputy as this person."
        words = refusals.get(person.account, "Pilots may run there: the person has consented.")
        yield Finding(f"account {person.account}", fit, words, remedy)


def _token(policy: Policy) -> str:
    from fallow.login.peek import expiry, peek

    path = policy.identity.token_file
    text = read_private(path)
    if text is None:
        raise NotAvailableError(
            f"There is no token at {path}.", remedy="Let the site's token agent write it there."
        )
    until = expiry(peek(text.strip())[1])
    if until is None or until <= datetime.now(timezone.utc):
        raise NotAvailableError(
            f"The token at {path} has expired.", remedy="Let the site's token agent renew it."
        )
    return f"The token at {path} is private and stands until {until:%Y-%m-%d %H:%M:%S} UTC."


def _hub(centre: Centre) -> str:
    federation = centre.hub.federation()
    name = centre.policy.identity.centre
    if name not in federation.centres:
        raise NotAvailableError(
            f"The hub of {federation.name} does not know a centre {name}.",
            remedy="Ask the hub's operator to add it, or mend identity.centre.",
        )
    return f"The hub of {federation.name} answers and knows this centre."


def _way_out(centre: Centre) -> Finding:
    """By whom this host gets out: by itself, or as the policy says."""
    network = centre.policy.network
    if not (network.proxy or network.attached):
        return _proposed(look_out(centre.policy.identity.hub, os.environ))

    def look() -> str:
        upstream, targets = centre.relay.lead(centre.credentials.remembered().federation)
        require_leads(upstream, targets)
        by = network.proxy or "The attached machine"
        return f"{by} leads to {', '.join(target.authority for target in targets)}."

    return _tried("way out", look)


def _exchange(centre: Centre) -> str:
    token = centre.hub.exchange(SCOPE_PILOT)
    return (
        f"The hub gives this launcher tokens for pilots, valid until {token.expires:%Y-%m-%d %H:%M:%S} UTC."
    )
