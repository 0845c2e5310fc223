from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import UsageError
from fallow.images.names import TagName, is_digest, is_tag, parse_tag


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("analysis", TagName("~", "analysis", "latest")),
        ("analysis:2.1", TagName("~", "analysis", "2.1")),
        ("alder.alice/analysis:2.1", TagName("alder.alice", "analysis", "2.1")),
        ("fallow://alder/tools_1", TagName("alder", "tools_1", "latest")),
        ("analysis@aarch64", TagName("~", "analysis", "latest", "aarch64")),
        ("alder/analysis:2.1@x86_64", TagName("alder", "analysis", "2.1", "x86_64")),
    ],
)
def test_what_is_left_out_of_a_tag_is_filled_in(text: str, name: TagName) -> None:
    assert parse_tag(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "a:",
        "/a:1",
        "A:1",
        "a/b/c:1",
        "a:1:2",
        "a:1@",
        "a:1@sparc",
        "a@aarch64:1",
        "../a:1",
        "a b:1",
        "a\n:1",
        "alder.x.y/a:1",
        "sha256:" + "a" * 65,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no name of an image"):
        parse_tag(text)


@given(st.text(max_size=40))
def test_a_parsed_name_is_read_back_as_itself(text: str) -> None:
    try:
        name = parse_tag(text)
    except UsageError:
        return
    assert parse_tag(str(name)) == name
    assert is_tag(str(name))
    assert str(name).isprintable()


def test_a_digest_is_written_in_one_way_only() -> None:
    assert is_digest("sha256:" + "a" * 64)
    assert not any(
        map(is_digest, ("sha256:" + "A" * 64, "sha256:" + "a" * 63, "a" * 64, "sha256:" + "a" * 64 + "\n"))
    )
