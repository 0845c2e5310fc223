"""The reference page of the policy, made from its models: `python -m fallow_pilots.reference > docs/reference/policy.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from fallow_pilots.policy import Policy

HEAD = """# The policy of a centre

For a site admin. Written by `python -m fallow_pilots.reference`; change the models, not this page.

The policy is one TOML file: `--policy FILE`, else `$FALLOW_POLICY`, else `/etc/fallow/policy.toml`. Unknown names are
refused, and so are clauses that contradict each other; the message names both. A cap of 0 gives nothing of its kind.
A running launcher takes over a changed file in its next cycle; one that is wrong does not count, and it says so.

`fallow pilot offer` says what the policy gives now and which clause limits it, `fallow pilot admits JOB…` whether it
would take a job and which clause refuses it, `fallow pilot check` whether everything that it names is there.
"""

Schema = Mapping[str, Any]

BOUNDS = (("minimum", "≥ "), ("exclusiveMinimum", "> "), ("maximum", "≤ "), ("exclusiveMaximum", "< "))
KINDS = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text"}


def page() -> str:
    """The whole page, Markdown."""
    schema = Policy.model_json_schema()
    return HEAD + "".join(_table(schema, schema["$defs"], ""))


def _table(schema: Schema, models: Schema, place: str) -> Iterator[str]:
    """One model as a table of its plain fields, then each of its fields that is a table of its own."""
    title = f"`{place}`" if place else "At the top"
    description = " ".join(schema["description"].split())
    yield f"\n## {title}\n\n{description}\n\n| name | value | default | meaning |\n|---|---|---|---|\n"
    inner: list[tuple[str, str]] = []
    for name, field in schema["properties"].items():
        table, listed = _reference(field)
        if table:
            path = f"{place.strip('[]')}.{name}".lstrip(".")
            inner.append((f"[[{path}]]" if listed else f"[{path}]", table))
            continue
        default = "**needed**" if name in schema.get("required", ()) else _default(field)
        meaning = " ".join(field["description"].split()).replace("|", "\\|")
        yield f"| `{name}` | {_kind(field)} | {default} | {meaning} |\n"
    for path, table in inner:
        yield from _table(models[table], models, path)


def _reference(field: Schema) -> tuple[str, bool]:
    """The model that a field is made of, or nothing; and whether it is a list of them."""
    listed = "items" in field
    within = field["items"] if listed else field
    return str(within.get("$ref", "")).rpartition("/")[2], listed


def _kind(field: Schema) -> str:
    """What a value looks like."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(one) for one in field["anyOf"] if one.get("type") != "null"))
    if "enum" in field:
        return ", ".join(f"`{json.dumps(word)}`" for word in field["enum"])
    if field["type"] == "array":
        return f"list of {_kind(field['items'])}"
    if field.get("format") == "path":
        return "absolute path"
    bounds = [f"{sign}{field[name]:g}" for name, sign in BOUNDS if name in field]
    return " ".join([KINDS[field["type"]], ", ".join(bounds)]).strip()


def _default(field: Schema) -> str:
    default = field.get("default")
    return "none" if default is None else f"`{json.dumps(default)}`"


if __name__ == "__main__":
    sys.stdout.write(page())
