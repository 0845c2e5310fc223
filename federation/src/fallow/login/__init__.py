"""The user's own WLCG token: found, stored, renewed.

`access_token()` is what every client calls. It looks where the WLCG bearer-token discovery looks, then at the
login that `fallow login` stored, which it renews shortly before it expires.
"""

from fallow.login.renewal import Found, access_token, current
from fallow.login.session import log_in, log_out

__all__ = ["Found", "access_token", "current", "log_in", "log_out"]
