"""`python -m fallow.storage`: the `credential_process` that `environment` writes down."""

import json
import sys

from fallow.client import connect
from fallow.errors import FallowError
from fallow.storage.aws import process_document


def main() -> int:
    """Print fresh credentials as JSON, for AWS clients only; returns the exit code."""
    try:
        print(json.dumps(process_document(connect().storage())))  # noqa: T201 - the protocol is standard output
    except FallowError as error:
        print(f"fallow: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
