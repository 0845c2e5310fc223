"""A person's consent that a centre's pilots run under the person's account: a file of that person's, and of nobody else."""

import os
import pwd
from datetime import datetime
from pathlib import Path
from typing import Optional

from pydantic import AwareDatetime, ValidationError

from fallow.errors import SettingsError
from fallow.files import private_directory, read_private, write_private
from fallow.offers import CentreName
from fallow.settings import Settings
from fallow_pilots.policy import Conditions
from fallow_pilots.policy.accounts import AccountName
from fallow_pilots.policy.words import AbsolutePath


class Consent(Settings):
    """What a person has consented to, and when; a revoked one stays as a record."""

    centre: CentreName
    """The centre whose launcher may start pilots."""
    hub: str
    """The hub that they may join."""
    other_hub: Optional[str] = None
    """The other one, where the federation has two; they join no further one."""
    account: AccountName
    """Whose account it is."""
    directory: AbsolutePath
    """The person's directory, seen by the nodes as well, in which these pilots keep their files."""
    copies: tuple[AbsolutePath, ...] = ()
    """Directories of which payloads may see files: those with copies of images or repositories, by the policy."""
    images: Optional[AbsolutePath] = None
    """The store of images that these pilots share with others, by the policy; none: one in `directory`."""
    serves: Conditions = Conditions()
    """What these pilots take of what the centre's policy lets in."""
    given: AwareDatetime
    """Since when."""
    revoked: Optional[AwareDatetime] = None
    """When it was taken back; none: it holds."""

    @property
    def hubs(self) -> "tuple[str, ...]":
        """The hubs that pilots may join."""
        return (self.hub, self.other_hub) if self.other_hub else (self.hub,)

    @property
    def holds(self) -> bool:
        """Whether pilots may start."""
        return self.revoked is None


def own_account() -> str:
    """The name of the account that this process runs under."""
    return pwd.getpwuid(os.geteuid()).pw_name


def usual_directory(home: Path, centre: str) -> Path:
    """Where a person's pilots keep their files unless another place is named."""
    return home / ".local" / "state" / "fallow" / centre


def _file(home: Path, centre: str) -> Path:
    return home / ".config" / "fallow" / "consent" / f"{centre}.json"


def read_consent(home: Path, centre: str) -> Optional[Consent]:
    """What this account's person said about a centre last; None: never anything.

    Raises:
        SettingsError: The file is open to others, or makes no sense: it counts for nothing.
    """
    path = _file(home, centre)
    text = read_private(path)
    if text is None:
        return None
    try:
        return Consent.model_validate_json(text)
    except ValidationError as error:
        raise SettingsError(
            f"{path} is no consent.", remedy="Remove it, and consent again if you want to."
        ) from error


def write_consent(home: Path, consent: Consent) -> None:
    """Record what a person says now, in place of what was said before."""
    path = _file(home, consent.centre)
    private_directory(path.parent)
    write_private(path, consent.model_dump_json(indent=1) + "\n")


def revoke(home: Path, consent: Consent, now: datetime) -> Consent:
    """Take a consent back; it counts as soon as this returns."""
    taken = consent.model_copy(update={"revoked": consent.revoked or now})
    write_consent(home, taken)
    return taken
