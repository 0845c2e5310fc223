"""The hub's HTCondor: its configuration, signing keys, tokens, checks and revocation."""
