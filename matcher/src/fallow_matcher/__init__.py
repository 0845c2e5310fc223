"""The hub of a Fallow federation: gateway, agreed rules, ledger and the HTCondor configuration."""
