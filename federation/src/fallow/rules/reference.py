"""The reference page of the rules, made from their model: `python -m fallow.rules.reference > docs/reference/rules.md`."""

from __future__ import annotations

import sys

from fallow.reference import tables
from fallow.rules.document import default_text
from fallow.rules.model import Rules

HEAD = """# The rules of a federation

For the centres' admins. Written by `python -m fallow.rules.reference`; change the model, not this page.

The rules are one TOML document. Unknown names are refused, and so are values out of bounds or that contradict each other;
the message names both. Everything but `benchmark`, `publish` and a class's `gpu_models` must be written: what the centres
approve is what the document says, never what a release of Fallow takes for granted. [Matching](../explanation/matching.md)
tells what each number does to a waiting job, [agree on rules](../how-to/agree-on-rules.md) how centres agree.

The digest by which centres approve is the SHA-256 of the rules in canonical JSON (RFC 8785): spelling, order, comments,
and `2` for `2.0` leave no trace in it. Approvals count per digest, so nobody approves what he has not seen.
"""

TAIL = """
## The rules of a new federation

In force as version 1 until a quorum approves others.

```toml
{}```
"""


def page() -> str:
    """The whole page, Markdown."""
    return HEAD + tables(Rules) + TAIL.format(default_text())


if __name__ == "__main__":
    sys.stdout.write(page())
