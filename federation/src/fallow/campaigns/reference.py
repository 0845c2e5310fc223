"""The reference page of campaigns, made from their model: `python -m fallow.campaigns.reference`."""

from __future__ import annotations

import sys

from fallow.campaigns.document import Document
from fallow.campaigns.table import ID_LENGTH, MAX_ROWS, VALUE_LENGTH
from fallow.reference import tables

HEAD = f"""# The campaign document

For production managers. Written by `python -m fallow.campaigns.reference`; change the model, not this page.

A campaign is one TOML or YAML document with a table or a grid beside it. Unknown names are refused, and so is all that does
not hold together; `fallow campaign check` says what. [Run a campaign](../how-to/run-a-campaign.md) leads through one.

## Templates

Commands, values of environment variables and URLs may name columns of the table as `{{column}}`; `{{id}}` is the row's id.
A brace that is meant is doubled. Nothing else is evaluated.

## Tables

| form | what it must be |
|---|---|
| `.csv` | UTF-8 with a head line; each line has as many values as the head |
| `.jsonl` | one JSON object in a line, all with the same names; values are text, numbers, true or false |
| `.parquet` | columns of the same kinds; needs `pip install 'fallow[campaigns]'` |
| a grid | every combination of its values; the id is the values, joined by `_` |

At most {MAX_ROWS:,} rows; ids of at most {ID_LENGTH} characters and no two alike; values of at most {VALUE_LENGTH:,}
characters, none of them a control character. A table with a bad row is refused whole: the first ten problems are shown.

## URLs

`s3:///KEY` is a key in the owner's own storage (`fallow storage` shows where that is), `s3://BUCKET/KEY` the same in full.
Other buckets are refused. The node that runs a job moves its files: at most `limits.staged_mb` (10,000) megabytes in and
as many out, and not more than the job's `disk_mb`; larger data is moved by other means. An input that names no column is
fetched once for each centre. [Decision 8](../explanation/decisions/0008-staging.md) says how.
"""


def page() -> str:
    """The whole page, Markdown."""
    return HEAD + tables(Document).replace("absolute path", "path")


if __name__ == "__main__":
    sys.stdout.write(page())
