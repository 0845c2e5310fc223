"""Who the centre is."""

from typing import Optional

from pydantic import Field

from fallow.offers import CentreName
from fallow.settings import Settings
from fallow_pilots.policy.words import AbsolutePath


class Identity(Settings):
    """Who this centre is and which hub it works with."""

    centre: CentreName
    """The centre's name in the federation."""
    hub: str = Field(pattern=r"^https://[A-Za-z0-9.\[\]:-]+$")
    """URL of the hub's gateway, e.g. `https://hub.example.org:8443`."""
    ca_file: Optional[AbsolutePath] = None
    """Certificate authority of the hub, on the shared file system; none where a public one signed it."""
    token_file: AbsolutePath
    """The launcher's own WLCG token, kept fresh by the site's means, readable by the launcher's user only."""
