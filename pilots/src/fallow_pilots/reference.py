"""The reference page of the policy, made from its models: `python -m fallow_pilots.reference > docs/reference/policy.md`."""

from __future__ import annotations

import sys

from fallow.reference import tables
from fallow_pilots.policy import Policy

HEAD = """# The policy of a centre

For a site admin. Written by `python -m fallow_pilots.reference`; change the models, not this page.

The policy is one TOML file: `--policy FILE`, else `$FALLOW_POLICY`, else `/etc/fallow/policy.toml`. Unknown names are
refused, and so are clauses that contradict each other; the message names both. A cap of 0 gives nothing of its kind.
A running launcher takes over a changed file in its next cycle; one that is wrong does not count, and it says so.

`fallow pilot offer` says what the policy gives now and which clause limits it, `fallow pilot admits JOB…` whether it
would take a job and which clause refuses it, `fallow pilot check` whether everything that it names is there.
"""


def page() -> str:
    """The whole page, Markdown."""
    return HEAD + tables(Policy)


if __name__ == "__main__":
    sys.stdout.write(page())
