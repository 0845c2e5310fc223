"""The subcommands of `fallow` that every installation has."""
