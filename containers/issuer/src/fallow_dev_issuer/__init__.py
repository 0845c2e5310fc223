"""A development-only OpenID Connect issuer of WLCG tokens; never for production."""
