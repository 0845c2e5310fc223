"""Tests of the centre's part."""

from hypothesis import settings

# How long an example takes depends on what else the machine does; the time-out of a whole test is the bound.
settings.register_profile("fallow", deadline=None)
settings.load_profile("fallow")
