"""A development-only OpenID Connect issuer of WLCG tokens; never for production."""

BANNER = (
    "DEVELOPMENT ONLY: this issuer vouches for nobody. Never trust its tokens or certificates in production."
)
