"""The reference pages say what gateway and commands of all parts say; here, since a part alone has not all of them."""

from __future__ import annotations

from tests.reference import PAGES, pages


def test_the_pages_are_those_that_gateway_and_commands_make() -> None:
    for name, text in pages().items():
        assert (PAGES / name).read_text(encoding="utf-8") == text, (
            "write them anew: python -m tests.reference"
        )


def test_every_call_and_every_command_of_each_part_is_on_them() -> None:
    made = pages()
    for heading in ("GET /v1/offers", "POST /v1/campaigns/{name}/retry", "PUT /v1/pilots/{pilot}/report"):
        assert f"### `{heading}`" in made["api.md"]
    for heading in ("fallow login", "fallow pilot run", "fallow hub gateway", "fallow testbed up"):
        assert f"## `{heading}`" in made["cli.md"]
