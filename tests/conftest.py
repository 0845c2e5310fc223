"""What holds for the tests of every part."""

import contextlib
import os

with contextlib.suppress(ModuleNotFoundError):  # not every part has tests that need it
    from hypothesis import settings

    # How long an example takes depends on what else the machine does; the time-out of a whole test is the bound.
    # The examples are the same in every run, so that a change is judged by itself; FALLOW_EXAMPLES=random seeks new ones.
    seeking = os.environ.get("FALLOW_EXAMPLES") == "random"
    settings.register_profile("fallow", deadline=None, derandomize=not seeking)
    settings.load_profile("fallow")
