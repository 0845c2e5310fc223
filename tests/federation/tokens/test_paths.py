"""Path normalisation: it never widens, and what is ambiguous is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.tokens import TokenError, from_url
from fallow.tokens.paths import BadPath, below, from_scope, normalise

SEGMENTS = st.sampled_from(
    ["a", "b", "foo", "..", ".", "", "a b", "%2e%2e", "%2E", "%2f", "%00", "%5c", "\\", "é", "*"]
)
RAW = st.one_of(st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts)), st.text(max_size=30))
SAFE = st.lists(st.sampled_from(["a", "b", "c", "foo", "é è", "100%"]), max_size=5).map(
    lambda s: "/" + "/".join(s)
)


@given(RAW)
def test_normalising_twice_changes_nothing(raw: str) -> None:
    try:
        path, _ = from_scope(raw)
    except BadPath:
        return
    assert normalise(path)[0] == path


@given(RAW)
def test_a_normal_path_has_nothing_that_could_climb(raw: str) -> None:
    try:
        path, _ = from_scope(raw)
    except BadPath:
        return
    assert path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/")[1:]) or path == "/"
    assert not set(path) & set("\0\\")


@given(SAFE, RAW)
def test_what_is_appended_never_leaves_the_path(top: str, rest: str) -> None:
    try:
        path, _ = from_scope(quote(top) + "/" + rest)
    except BadPath:
        return
    assert below(path, normalise(top)[0])


@given(SAFE)
def test_a_quoted_path_comes_back_as_it_was(path: str) -> None:
    assert from_scope(quote(path))[0] == normalise(path)[0]


@given(RAW, st.sampled_from(["/", "/vo", "/vo/area"]))
def test_a_url_means_a_path_inside_the_area_or_is_refused(raw: str, prefix: str) -> None:
    try:
        inside = from_url(raw, prefix)
    except TokenError:
        return
    assert below(normalise(prefix.rstrip("/") + inside)[0], prefix)
    assert normalise(prefix.rstrip("/") + inside) == from_scope(raw)


@pytest.mark.parametrize(
    ("raw", "inside"),
    [
        ("/vo", "/"),
        ("/vo/", "/"),
        ("/vo/a//b/./c", "/a/b/c"),
        ("/vo/a/", "/a/"),
        ("/vo/a%20b", "/a b"),
        ("/%76o/a", "/a"),
    ],
)
def test_a_url_in_the_area_gives_its_path(raw: str, inside: str) -> None:
    assert from_url(raw, "/vo") == inside


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("/vo2/f", "insufficient_scope"),
        ("/f", "insufficient_scope"),
        ("/", "insufficient_scope"),
        ("/vo/../vo/f", "insufficient_scope"),
        ("/vo/%2e%2e/vo2", "insufficient_scope"),
        ("/vo/%2E./vo2", "insufficient_scope"),
        ("/vo/..%2fvo2", "invalid_request"),
        ("/vo/%252e%252e/vo2", "invalid_request"),
        ("/vo/a%2Fb", "invalid_request"),
        ("/vo/a%5cb", "invalid_request"),
        ("/vo/a%00", "invalid_request"),
        ("/vo/a%", "invalid_request"),
        ("/vo/%ff", "invalid_request"),
        ("vo/a", "invalid_request"),
        ("", "invalid_request"),
    ],
)
def test_a_url_that_leaves_the_area_or_is_ambiguous_is_refused(raw: str, code: str) -> None:
    with pytest.raises(TokenError, match="path") as caught:
        from_url(raw, "/vo")
    assert caught.value.code == code
