"""What a token allows: the sentences of the profile, and properties of the decision."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.tokens import OPERATIONS, Claims, TokenError, TrustedIssuer, authorise
from fallow.tokens.operations import COMPUTE, STORAGE
from fallow.tokens.scopes import parse

ISSUER = TrustedIssuer(
    url="https://vo.example.org",
    group_policy={
        "/vo": frozenset({"read", "stat", "list"}),
        "/vo/prod": frozenset({"create_file", "submit"}),
    },
)
PATHS = ["/", "/foo", "/foo/", "/foo/bar", "/foo/bar/", "/foobar", "/foo/bar/baz"]
SCOPES = [
    f"storage.{name}:{path}" for name in ("read", "create", "modify", "stage", "poll") for path in PATHS
]
SCOPES += [f"compute.{name}" for name in COMPUTE.values()] + [
    "openid",
    "compute.*",
    "storage.write:/",
    "wlcg",
]
OPERATION = st.sampled_from(sorted(OPERATIONS))


def bearer(scope: str = "", groups: tuple[str, ...] = ()) -> Claims:
    return Claims(
        ISSUER,
        sub="s",
        jti="j",
        aud=("a",),
        exp=1,
        iat=0,
        nbf=None,
        version="1.0",
        scopes=parse(scope),
        groups=groups,
    )


def allows(scope: str, operation: str, path: str = "/", groups: tuple[str, ...] = (), **more: Any) -> bool:
    decision = authorise(bearer(scope, groups), operation, path, **more)
    assert decision.allowed == (not decision.code)
    return decision.allowed


ALLOWED = [
    ("storage.create:/foo/bar", "create_dir", "/foo", {}),
    ("storage.create:/foo/bar", "create_dir", "/foo/bar", {}),
    ("storage.create:/foo/bar/", "create_dir", "/foo", {}),
    ("storage.create:/foo/bar", "create_file", "/foo/bar/qux", {}),
    ("storage.modify:/foo/bar", "create_dir", "/foo", {}),
    ("storage.create:/foo/bar/", "create_file", "/foo/bar/qux", {}),
    ("storage.modify:/foo", "truncate", "/foo/a", {"exists": {"/foo/a": "file"}}),
    ("storage.modify:/foo", "create_file", "/foo/a", {"exists": {"/foo/a": "file"}}),
    ("storage.modify:/foo", "delete", "/foo/a", {}),
    ("storage.read:/foo/", "stat", "/foo", {"exists": {"/foo": "dir"}}),
    ("storage.read:/foo/", "read", "/foo/", {}),
    ("storage.read:/foo%20bar", "read", "/foo bar/a", {}),
    ("storage.read:/foo/./bar", "read", "/foo/bar", {}),
    ("storage.read:/", "read", "/", {}),
    ("storage.stage:/t", "stage", "/t/a", {}),
    ("storage.stage:/t", "poll", "/t/a", {}),
    ("storage.stage:/t", "evict", "/t/a", {}),
    ("storage.modify:/a storage.create:/b", "rename", "/a/f", {"path_to": "/b/f"}),
    ("storage.modify:/a", "rename", "/a/d", {"path_to": "/a/e", "exists": {"/a/d": "dir"}}),
    ("storage.modify:/a", "rename", "/a/f", {"path_to": "/a/g", "exists": {"/a/g": "file"}}),
    ("storage.read:/a storage.create:/b", "copy", "/a/f", {"path_to": "/b/f"}),
    ("compute.read", "query", "/", {}),
    ("compute.create", "submit", "/", {}),
    ("compute.modify", "edit", "/", {}),
    ("compute.cancel", "cancel", "/", {}),
    ("", "exchange_once", "/", {}),
]
REFUSED = [
    ("storage.create:/foo/bar", "create_file", "/foo", {}),
    ("storage.create:/foo/bar", "create_dir", "/foo/bargain", {}),
    ("storage.create:/foo/bar", "create_dir", "/foo", {"exists": {"/foo": "file"}}),
    ("storage.create:/foo/bar/", "create_file", "/foo/bar", {}),
    ("storage.create:/foo", "create_file", "/foo/a", {"exists": {"/foo/a": "file"}}),
    ("storage.create:/foo", "overwrite", "/foo/a", {}),
    ("storage.create:/foo", "truncate", "/foo/a", {}),
    ("storage.create:/foo", "rename", "/foo/a", {"path_to": "/foo/b", "exists": {"/foo/b": "file"}}),
    ("storage.create:/foo", "rename", "/foo/d", {"path_to": "/foo/e", "exists": {"/foo/d": "dir"}}),
    ("storage.read:/foo", "rename", "/foo/a", {"path_to": "/foo/b"}),
    ("storage.read:/foo/", "read", "/foo", {}),
    ("storage.read:/foo/", "read", "/foo/", {"exists": {"/foo": "file"}}),
    ("storage.modify:/foo", "read", "/foo/a", {}),
    ("storage.poll:/t", "stat", "/t/a", {}),
    ("storage.poll:/t", "stage", "/t/a", {}),
    ("storage.create:/b", "copy", "/a/f", {"path_to": "/b/f"}),
    ("storage.read:/a", "copy", "/a/f", {"path_to": "/b/f"}),
    ("Storage.read:/", "read", "/a", {}),
    ("storage.read:/foo", "read", "/FOO", {}),
    ("compute.read:/", "query", "/", {}),
    ("compute.create storage.modify:/", "cancel", "/", {}),
    ("compute.read compute.create compute.modify compute.cancel", "read", "/a", {}),
    ("storage.read:/", "fly", "/a", {}),
]


@pytest.mark.parametrize(("scope", "operation", "path", "more"), ALLOWED)
def test_the_scope_allows(scope: str, operation: str, path: str, more: dict[str, Any]) -> None:
    assert allows(scope, operation, path, **more)


@pytest.mark.parametrize(("scope", "operation", "path", "more"), REFUSED)
def test_the_scope_does_not_allow(scope: str, operation: str, path: str, more: dict[str, Any]) -> None:
    decision = authorise(bearer(scope), operation, path, **more)
    assert (decision.allowed, decision.code) == (False, "insufficient_scope")


@pytest.mark.parametrize("path", ["relative", "", "/a\0b", "/a\\b", "/\ud800"])
def test_a_path_without_a_normal_form_is_a_bad_request(path: str) -> None:
    assert authorise(bearer("storage.read:/"), "read", path).code == "invalid_request"


def test_a_rename_to_nowhere_is_a_bad_request() -> None:
    assert authorise(bearer("storage.modify:/"), "rename", "/a").code == "invalid_request"


def test_a_request_that_climbs_is_refused_even_where_everything_is_allowed() -> None:
    assert authorise(bearer("storage.read:/"), "read", "/a/../b").code == "insufficient_scope"


def test_groups_count_where_no_capability_is_present() -> None:
    assert allows("openid wlcg.groups:/vo", "list", "/a", ("/vo",))
    assert allows("", "submit", "/", ("/vo/prod",))


def test_a_capability_of_another_service_switches_groups_off() -> None:
    assert not allows("compute.read", "read", "/a", ("/vo",))
    assert not allows("storage.read:/b", "read", "/a", ("/vo",))
    assert not allows("compute.create:/queue", "submit", "/", ("/vo/prod",))


def test_a_group_that_may_create_may_not_replace() -> None:
    assert allows("", "create_file", "/a", ("/vo/prod",))
    assert not allows("", "create_file", "/a", ("/vo/prod",), exists={"/a": "file"})


def test_a_child_group_does_not_stand_for_its_parent() -> None:
    assert not allows("", "read", "/a", ("/vo/prod",))


def test_a_second_use_is_refused_only_where_one_is_allowed() -> None:
    assert authorise(bearer(), "exchange_once", seen_before=True).code == "replayed"
    assert allows("storage.read:/", "read", "/a", seen_before=True)


def test_requiring_a_refused_decision_raises_what_a_service_answers() -> None:
    with pytest.raises(TokenError, match=r"This needs the scope compute\.create\.") as caught:
        authorise(bearer("compute.read"), "submit").require()
    assert (caught.value.code, caught.value.status, caught.value.jti) == ("insufficient_scope", 403, "j")


def test_a_refusal_for_a_path_names_the_scopes_that_would_do() -> None:
    decision = authorise(bearer("storage.read:/"), "create_file", "/a")
    assert decision.reason == "This needs storage.create or storage.modify for the path asked for."


@given(st.lists(st.sampled_from(SCOPES), max_size=6), st.randoms(), OPERATION, st.sampled_from(PATHS))
def test_the_decision_does_not_depend_on_the_order_of_scopes(
    scopes: list[str], random: Any, operation: str, path: str
) -> None:
    shuffled = random.sample(scopes, len(scopes))
    first, second = (
        authorise(bearer(" ".join(order)), operation, path, path_to="/foo/bar/x")
        for order in (scopes, shuffled)
    )
    assert first == second


@given(
    st.lists(st.sampled_from(SCOPES), min_size=1, max_size=5),
    st.sampled_from(SCOPES),
    OPERATION,
    st.sampled_from(PATHS),
)
def test_one_more_scope_takes_nothing_away(scopes: list[str], more: str, operation: str, path: str) -> None:
    if parse(" ".join(scopes)).capabilities and allows(" ".join(scopes), operation, path, path_to="/foo/x"):
        assert allows(" ".join([*scopes, more]), operation, path, path_to="/foo/x")


@given(
    st.sampled_from(sorted(STORAGE)),
    st.sampled_from(["read", "create", "modify", "stage", "poll"]),
    st.text(),
)
def test_a_scope_for_one_place_allows_nothing_elsewhere(operation: str, name: str, path: str) -> None:
    decision = authorise(bearer(f"storage.{name}:/only/here"), operation, "/else/" + path)
    assert not decision.allowed


@given(
    st.text(),
    st.text(),
    st.none() | st.text(),
    st.dictionaries(st.text(), st.text()),
    st.sampled_from(SCOPES),
)
def test_no_request_makes_a_decision_raise(
    operation: str, path: str, path_to: str | None, exists: dict[str, str], scope: str
) -> None:
    for asked in (operation, "read", "rename", "create_dir", "submit"):
        authorise(bearer(scope), asked, path, path_to=path_to, exists=exists)


@given(st.text())
def test_no_scope_claim_raises_anything_but_ours(scope: str) -> None:
    for claim in (scope, f"storage.read:{scope}", f"compute.{scope}"):
        with contextlib.suppress(TokenError):
            parse(claim)


def test_a_decision_does_not_depend_on_unknown_scopes() -> None:
    plain = bearer("storage.read:/foo")
    assert authorise(replace(plain, scopes=parse("fly storage.read:/foo wlcg:1.0")), "read", "/foo/a").allowed
