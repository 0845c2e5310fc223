"""Conjunctions are taken apart so that all parts are true exactly when the whole is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.queue.session import bindings
from fallow_matcher.explain.clauses import clauses, outcome


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("true", ["true"]),
        ("a && b", ["a", "b"]),
        ("(a && (b && c)) && d", ["a", "b", "c", "d"]),
        ("a && b || c", ["a && b || c"]),
        ("a && (b || c)", ["a", "b || c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ("(a ?: b) && c", ["a ?: b", "c"]),
        ("a =?= b && c", ["a =?= b", "c"]),
        ('x == "a && b" && y', ['x == "a && b"', "y"]),
        ('x == "\\"&&" && y', ['x == "\\"&&"', "y"]),
        ("(a) && (b)", ["a", "b"]),
        ("f(a && b) && {c && d}[0]", ["f(a && b)", "{c && d}[0]"]),
        ("'odd && name' && b", ["'odd && name'", "b"]),
    ],
)
def test_only_what_must_hold_by_itself_is_a_clause(text: str, parts: list[str]) -> None:
    assert clauses(text) == parts


LEAVES = st.sampled_from(
    ["true", "false", "MY.a", "TARGET.b", 'TARGET.s == "&& ("', "undefined", "c >= 2", "MY.a =?= undefined"]
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("!({})".format),
        st.tuples(inner, inner, inner).map("({0[0]} ? {0[1]} : {0[2]})".format),
    ),
    max_leaves=12,
)


@given(
    EXPRESSIONS,
    st.fixed_dictionaries(
        {},
        optional={
            "a": st.booleans(),
            "b": st.booleans(),
            "s": st.sampled_from(["&& (", "x"]),
            "c": st.integers(0, 4),
        },
    ),
)
def test_all_clauses_are_true_exactly_when_the_whole_is(text: str, attributes: dict[str, object]) -> None:
    bindings()
    import classad2

    ad = classad2.ClassAd(attributes)
    printed = str(classad2.ExprTree(text))
    assert all(outcome(clause, ad, ad) for clause in clauses(printed)) is (outcome(printed, ad, ad) is True)
