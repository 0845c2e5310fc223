"""What every part of a Fallow federation exchanges: tokens, offers, jobs, and the `fallow` command."""

__version__ = "0.1.0"
