"""A hostile payload: takes as much of one thing as it gets, and says how much that was."""

# ruff: noqa: PTH123
import os
import sys
import time

what = sys.argv[1]
taken = 0
if what == "memory":
    blocks = []
    try:
        while taken < 1 << 34:
            blocks.append(bytearray(b"x") * (64 << 20))
            taken += 64
    except MemoryError:
        print(taken)
elif what == "processes":
    try:
        while taken < 20000:
            if os.fork() == 0:
                time.sleep(600)
            taken += 1
    except OSError:
        print(taken)
elif what == "file":
    try:
        with open("large", "wb") as stream:
            while taken < 8192:
                stream.write(bytes(1 << 20))
                taken += 1
    except OSError:
        print(taken)
elif what == "files":
    while taken < 8192:
        with open(f"large-{taken // 64}", "ab") as stream:
            stream.write(bytes(1 << 20))
        taken += 1
        time.sleep(0.002)
    time.sleep(60)
    print(taken)
