"""Reference pages of settings files, made from their models: what a page says is what the model checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fallow.settings import Settings

Schema = Mapping[str, Any]

BOUNDS = (("minimum", "≥ "), ("exclusiveMinimum", "> "), ("maximum", "≤ "), ("exclusiveMaximum", "< "))
KINDS = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text"}


def tables(model: type[Settings]) -> str:
    """A model and all models below it, each as a Markdown section with a table of its fields."""
    schema = model.model_json_schema()
    return "".join(_table(schema, schema.get("$defs", {}), ""))


def _table(schema: Schema, models: Schema, place: str) -> Iterator[str]:
    """One model as a table of its plain fields, then each of its fields that is a table of its own."""
    title = f"`{place}`" if place else "At the top"
    description = " ".join(schema["description"].split())
    yield f"\n## {title}\n\n{description}\n\n| name | value | default | meaning |\n|---|---|---|---|\n"
    inner: list[tuple[str, str]] = []
    for name, field in schema["properties"].items():
        field = _present(field)  # noqa: PLW2901
        path = f"{place.strip('[]')}.{name}".lstrip(".")
        table, form = _reference(field)
        if "enum" in models.get(table, {}):
            field = {**models[table], **field}  # noqa: PLW2901
        elif table:
            inner.append((form.format(path), table))
            continue
        default = "**needed**" if name in schema.get("required", ()) else _default(field)
        meaning = " ".join(field["description"].split()).replace("|", "\\|")
        yield f"| `{name}` | {_kind(field)} | {default} | {meaning} |\n"
    for path, table in inner:
        yield from _table(models[table], models, path)


def _present(field: Schema) -> Schema:
    """A field that may be left out as what it is when it is there."""
    choices = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    return {**choices[0], **field} if len(choices) == 1 else field


def _reference(field: Schema) -> tuple[str, str]:
    """The model that a field is made of, or nothing; and how its table is named in a file."""
    form = "[{}]"
    if "items" in field:
        field, form = field["items"], "[[{}]]"
    elif "patternProperties" in field:
        (field,) = field["patternProperties"].values()
        form = "[{}.NAME]"
    return str(field.get("$ref", "")).rpartition("/")[2], form


def _kind(field: Schema) -> str:
    """What a value looks like."""
    if "anyOf" in field and "type" not in field:
        choices = [one for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys("table" if "$ref" in one else _kind(one) for one in choices))
    if "enum" in field:
        return ", ".join(f"`{json.dumps(word)}`" for word in field["enum"])
    if "patternProperties" in field:
        (within,) = field["patternProperties"].values()
        return f"table of {_kind(within)}, by name"
    if field["type"] == "array":
        return f"list of {_kind(field['items'])}"
    if field.get("format") == "path":
        return "absolute path"
    bounds = [f"{sign}{field[name]:.10g}" for name, sign in BOUNDS if name in field]
    return " ".join([KINDS[field["type"]], ", ".join(bounds)]).strip()


def _default(field: Schema) -> str:
    default = field.get("default")
    return "none" if default is None else f"`{json.dumps(default)}`"
