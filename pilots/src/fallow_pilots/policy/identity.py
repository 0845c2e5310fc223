"""Who the centre is."""

from typing import Annotated, Optional

from pydantic import StringConstraints

from fallow.offers import CentreName
from fallow.settings import Settings
from fallow_pilots.policy.words import AbsolutePath

HubUrl = Annotated[str, StringConstraints(pattern=r"^https://[A-Za-z0-9.\[\]:-]+$")]


class Identity(Settings):
    """Who this centre is and which hub it works with."""

    centre: CentreName
    """The centre's name in the federation."""
    hub: HubUrl
    """URL of the hub's gateway, e.g. `https://hub.example.org:8443`."""
    other_hub: Optional[HubUrl] = None
    """Where the federation has two hubs: the other gateway's URL, which is asked while `hub` does not answer."""
    ca_file: Optional[AbsolutePath] = None
    """Certificate authority of the hub, on the shared file system; none where a public one signed it."""
    token_file: AbsolutePath
    """The launcher's own WLCG token, kept fresh by the site's means, readable by the launcher's user only."""
