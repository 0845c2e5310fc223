"""The relay as a process: `python -m fallow_pilots.relay TERMS`. The launcher starts it; its log is beside the terms."""

from __future__ import annotations

import asyncio
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fallow_pilots.loop import AlreadyRunningError, only_one
from fallow_pilots.relay.server import Relay
from fallow_pilots.relay.terms import lock_of, log_of

log = logging.getLogger(__name__)


def main(terms: Path) -> int:
    """Serve; the exit status: 1 where it cannot listen."""
    handler = RotatingFileHandler(log_of(terms), maxBytes=1 << 20, backupCount=1)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[handler]
    )
    try:
        with only_one(lock_of(terms)):
            asyncio.run(Relay(terms).serve())
    except AlreadyRunningError:
        return 0
    except OSError as error:
        log.error("the relay cannot listen: %s", error)  # noqa: TRY400 - a sentence for the site admin
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
