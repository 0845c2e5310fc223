"""Writes `api.md` and `cli.md` in `docs/reference/` from gateway and commands: `python -m tests.reference`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from fastapi import FastAPI
from fastapi.routing import APIRoute
from tests.matcher.conftest import on_disk, raw_settings

from fallow.cli import fallow
from fallow_matcher.gateway.access import Access, UserWho
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import build
from fallow_matcher.settings import HubSettings

PAGES = Path(__file__).parents[1] / "docs" / "reference"

BOUNDS = (("minimum", "≥"), ("maximum", "≤"), ("maxLength", "length ≤"))

API = """# The gateway's interface

For whoever writes a client. Written by `python -m tests.reference` from the gateway's own OpenAPI description, which a hub
serves at `/openapi.json`; change the routes, not this page.

Bodies are JSON, moments ISO 8601 in UTC, durations seconds. A refusal is `{error, error_description}` as in RFC 6749, with
the codes of the WLCG token profile; 429 and 503 say in `Retry-After` when to come again. Fields that a client does not know
are to be ignored.
"""

CLI = """# The commands

For everybody. Written by `python -m tests.reference` from the commands themselves; change these, not this page. Which of
them there are on a machine depends on the parts that are installed there. Every command has `--help`.
"""


def api(app: FastAPI) -> str:
    """The page about the gateway's calls."""
    schema = app.openapi()
    who = {
        (method.lower(), route.path): policy(route)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    text = [API, "\n## Calls\n"]
    for path, calls in sorted(schema["paths"].items()):
        for method, call in sorted(calls.items()):
            text += [
                f"\n### `{method.upper()} {path}`\n\n{paragraph(call['description'])}\n\n{who[method, path]}\n"
            ]
            text += parameters(call.get("parameters", []))
            text += exchanged(call)
    text += ["\n## Messages\n"]
    for name, model in sorted(schema["components"]["schemas"].items()):
        text += message(name, model)
    return "".join(text)


def policy(route: APIRoute) -> str:
    """Who may call a route, in the words of its policy."""
    (access,) = [part.call for part in route.dependant.dependencies if isinstance(part.call, Access)]
    said = paragraph(str(access.policy.__doc__).split("\n\n")[0])
    return f"{said[:-1]}: `{access.policy.operation}`." if isinstance(access.policy, UserWho) else said


def parameters(found: list[Mapping[str, Any]]) -> Iterator[str]:
    """The parameters of a call as a table."""
    if found:
        yield "\n| parameter | in | value | needed |\n|---|---|---|---|\n"
    for each in found:
        needed = "yes" if each.get("required") else "no"
        yield f"| `{each['name']}` | {each['in']} | {kind(each['schema'])} | {needed} |\n"


def exchanged(call: Mapping[str, Any]) -> Iterator[str]:
    """What goes in and what comes out."""
    for form, content in call.get("requestBody", {}).get("content", {}).items():
        yield f"\nBody ({form}): {kind(content['schema'])}.\n"
    for status, answer in call["responses"].items():
        if status.startswith("2"):
            for content in answer.get("content", {}).values():
                yield f"\nAnswer {status}: {kind(content['schema'])}.\n"
            if "content" not in answer:
                yield f"\nAnswer {status}, without a body.\n"


def message(name: str, model: Mapping[str, Any]) -> Iterator[str]:
    """One model as a table of its fields, or the words that it may be."""
    yield f"\n### {name}\n"
    if "description" in model:
        yield f"\n{paragraph(model['description'])}\n"
    if "enum" in model:
        yield f"\nOne of {', '.join(f'`{word}`' for word in model['enum'])}.\n"
        return
    yield "\n| field | value | needed | meaning |\n|---|---|---|---|\n"
    for field, about in model.get("properties", {}).items():
        needed = "yes" if field in model.get("required", ()) else "no"
        yield f"| `{field}` | {kind(about)} | {needed} | {cell(about.get('description', ''))} |\n"


def kind(about: Mapping[str, Any]) -> str:
    """What a value looks like."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(kind(each) for each in about["anyOf"] if each.get("type") != "null"))
    if "enum" in about or "const" in about:
        return ", ".join(f"`{word}`" for word in about.get("enum", [about.get("const")]))
    if about.get("type") == "array":
        inner = about.get("prefixItems") or [about.get("items", {})]
        return f"list of {', '.join(kind(each) for each in inner)}"
    if about.get("type") == "object" and isinstance(about.get("additionalProperties"), dict):
        return f"object of {kind(about['additionalProperties'])}"
    bounds = [f"{sign} {about[name]}" for name, sign in BOUNDS if name in about]
    form = {"date-time": "moment"}.get(about.get("format", ""), about.get("type", "any"))
    return " ".join([form, ", ".join(bounds)]).strip()


def cli() -> str:
    """The page about the commands."""
    return CLI + "".join(command(fallow, click.Context(fallow, info_name="fallow")))


def command(each: click.Command, context: click.Context) -> Iterator[str]:
    """One command, then those below it."""
    usage = " ".join([context.command_path, *each.collect_usage_pieces(context)])
    yield f"\n## `{context.command_path}`\n\n{paragraph(each.help or '')}\n\n    {usage}\n"
    rows = [record for one in each.params if (record := one.get_help_record(context)) and record[1]]
    if rows:
        yield "\n| option | meaning |\n|---|---|\n"
    for names, meaning in rows:
        yield f"| `{cell(names)}` | {cell(meaning)} |\n"
    if isinstance(each, click.Group):
        for name in each.list_commands(context):
            below = each.get_command(context, name)
            if below is not None and not below.hidden:
                yield from command(below, click.Context(below, info_name=name, parent=context))


def cell(text: str) -> str:
    """Text in one cell of a table."""
    return paragraph(text).replace("|", "\\|")


def paragraph(text: str) -> str:
    """Text as Markdown paragraphs of one line each; `\\b`, click's mark for text as it is, is left out."""
    parts = text.replace("\b", "").strip().split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts)


def pages() -> dict[str, str]:
    """Each page by its name."""
    with tempfile.TemporaryDirectory() as folder:
        settings = HubSettings.model_validate(raw_settings(Path(folder)))
        services = build(on_disk(Path(folder), settings))
        try:
            return {"api.md": api(create_app(services)), "cli.md": cli()}
        finally:
            services.close()


if __name__ == "__main__":
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
