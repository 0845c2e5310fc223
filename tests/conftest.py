"""What holds for the tests of every part."""

import contextlib

with contextlib.suppress(ModuleNotFoundError):  # not every part has tests that need it
    from hypothesis import settings

    # How long an example takes depends on what else the machine does; the time-out of a whole test is the bound.
    settings.register_profile("fallow", deadline=None)
    settings.load_profile("fallow")
