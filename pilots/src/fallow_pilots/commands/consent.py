"""`fallow pilot consent`, for who lends an account, and `fallow pilot accounts`, for the admin who sees who does."""

from __future__ import annotations

from pathlib import Path

import click

from fallow.errors import RefusedError, UsageError
from fallow.output import show
from fallow.settings import parse
from fallow_pilots.accounts.consent import (
    Consent,
    own_account,
    read_consent,
    revoke,
    usual_directory,
    write_consent,
)
from fallow_pilots.commands.common import as_json, open_centre, with_policy
from fallow_pilots.policy import Conditions, Policy, policy_path, read_policy
from fallow_pilots.watch import utc_now

MEANS = """\
Pilots of {centre} may run under your account {account}, as jobs of yours in the batch system, charged as the policy says.
They run jobs of {whom} in containers that see no file of yours.
The launcher may start, see and stop these pilots, and nothing else. Their files lie in {directory}.
Take it back at any moment: fallow pilot consent --revoke
"""


@click.command()
@with_policy
@click.option("--revoke", "take_back", is_flag=True, help="Take the consent back: your pilots end at once.")
@click.option("--show", "look", is_flag=True, help="Say what you have consented to.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where your pilots keep their files, seen by the nodes; else as before, or below ~/.local/state/fallow.",
)
@click.option(
    "--project", "projects", multiple=True, help="Serve only jobs of this project; may be repeated."
)
@click.option(
    "--from-centre", "centres", multiple=True, help="Serve only users of this centre; may be repeated."
)
@click.option("--work-type", "work_types", multiple=True, help="Serve only this work type; may be repeated.")
@as_json
def consent(
    policy_file: Path | None,
    take_back: bool,
    look: bool,
    directory: Path | None,
    projects: tuple[str, ...],
    centres: tuple[str, ...],
    work_types: tuple[str, ...],
    as_json: bool,
) -> None:
    """Let pilots of this centre run under your own account; without a choice they serve whom the policy says.

    The file that records it is yours, and nobody's word but yours changes it.
    """
    policy, home = read_policy(policy_path(policy_file)), Path.home()
    centre = policy.identity.centre
    known = read_consent(home, centre)
    if look or take_back:
        if known is None:
            raise UsageError(f"{own_account()} has never consented to pilots of {centre}.")
        if take_back:
            _end(policy, home, known, quiet=as_json)
        _say(read_consent(home, centre) or known, as_json=as_json)
        return
    account = own_account()
    if account not in policy.accounts.names:
        raise RefusedError(
            f"The policy of {centre} does not name {account}.",
            remedy="Ask the centre's admin: accounts.people.",
        )
    place = directory.absolute() if directory else known.directory if known else usual_directory(home, centre)
    if known is not None and place != known.directory:
        _check_unused(policy, known)
    wanted = {"projects": projects, "centres": centres, "work_types": work_types}
    given = Consent(
        centre=centre,
        hub=policy.identity.hub,
        other_hub=policy.identity.other_hub,
        account=account,
        directory=place,
        copies=policy.copies,
        images=policy.assume.image_store_dir,
        serves=parse(Conditions, wanted, source="the command"),
        given=utc_now(),
    )
    write_consent(home, given)
    _say(given, as_json=as_json)


def _check_unused(policy: Policy, known: Consent) -> None:
    """Refuse to move the directory while pilots look there for their token and leave there how they end."""
    from fallow_pilots.accounts.deputy import Deputy

    here = Deputy(known, policy.batch).pilots()
    if here:
        raise RefusedError(
            f"{', '.join(sorted(here))} of yours keep their files in {known.directory}.",
            remedy="Keep that directory, or run `fallow pilot consent --revoke` and consent when they are gone.",
        )


def _end(policy: Policy, home: Path, known: Consent, *, quiet: bool) -> None:
    from fallow_pilots.accounts.deputy import Deputy

    taken = revoke(home, known, utc_now())
    ended = Deputy(taken, policy.batch).end_all(utc_now())
    if not quiet:
        click.echo(f"{ended} pilots of yours were asked to leave now; what they ran goes back to the queue.")


def _say(consent: Consent, *, as_json: bool) -> None:
    if as_json:
        click.echo(consent.model_dump_json(indent=2, exclude_defaults=True))
        return
    if consent.revoked is not None:
        click.echo(
            f"Revoked at {consent.revoked:%Y-%m-%d %H:%M:%S} UTC: no pilot of {consent.centre} starts."
        )
        return
    serves = consent.serves
    chosen = [*serves.projects, *serves.centres, *serves.work_types]
    whom = (
        f"whom the policy says, of these only those of {', '.join(chosen)},"
        if chosen
        else "whom the policy says"
    )
    click.echo(
        MEANS.format(centre=consent.centre, account=consent.account, whom=whom, directory=consent.directory),
        nl=False,
    )


@click.command()
@with_policy
@as_json
def accounts(policy_file: Path | None, as_json: bool) -> None:
    """List the accounts that pilots may run under: who consented, how many pilots each has, and why it takes no more."""
    centre = open_centre(policy_file)
    view = centre.launcher.look()
    charged = {person.account: person.batch_account for person in centre.policy.accounts.people}
    rows = []
    for account in dict.fromkeys([*centre.policy.accounts.names, *view.people.consents]):
        given = view.people.consents.get(account) if account is not None else None
        mine = [record for record in view.records if record.account == account]
        rows.append(
            {
                "account": account or "the launcher's own",
                "consented": given.given.isoformat(timespec="seconds") if given and given.holds else None,
                "batch_account": charged.get(account) if account else centre.policy.batch.account,
                "pilots": sum(record.active for record in mine),
                "takes_no_more": view.closed.get(account),
            }
        )
    show(rows, ["account", "consented", "batch_account", "pilots", "takes_no_more"], as_json=as_json)
