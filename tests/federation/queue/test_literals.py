import classad2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import UsageError
from fallow.queue.literals import arguments, equals, expression, literal, quoted

plain = st.text(st.characters(exclude_categories=["Cc", "Cs"])).filter(lambda text: "$$" not in text)


@given(plain)
def test_the_old_parser_reads_a_quoted_text_back_unchanged(text: str) -> None:
    parsed = classad2.parseOne(f"v = {quoted(text)}", classad2.ParserType.Old)
    assert parsed["v"] == text


@given(plain)
def test_a_constraint_compares_with_exactly_the_given_text(text: str) -> None:
    ad = classad2.ClassAd({"FallowRun": text})
    assert classad2.ExprTree(equals("FallowRun", text)).eval(ad) is True


@given(st.text())
def test_a_literal_is_one_literal_or_refused(text: str) -> None:
    try:
        made = literal(text)
    except UsageError:
        return
    assert "\n" not in made
    assert len(classad2.parseOne(f"v = {made}", classad2.ParserType.Old)) == 1


def test_a_literal_leaves_nothing_for_the_submit_language_to_expand() -> None:
    assert literal("$(HOME) $ENV(X)") == '"$(DOLLAR)(HOME) $(DOLLAR)ENV(X)"'


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\tb", "\x7f"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="control character"):
        literal(text)


def test_what_the_schedd_would_replace_is_refused() -> None:
    with pytest.raises(UsageError, match="replaces at match time"):
        literal("$$(Arch)")


@pytest.mark.parametrize(
    "text", ["Cpus > 4", 'TARGET.FallowCentre == "alder" || Memory >= 8 * 1024', "member(1, {1, 2})"]
)
def test_an_expression_is_accepted_in_the_librarys_own_spelling(text: str) -> None:
    assert expression(expression(text)) == expression(text)


@pytest.mark.parametrize(
    "text", ["", "a +", "true; Owner = 1", "true] [x = 1", "x == 1) || (true", "true]", "// x", "true // x"]
)
def test_what_is_not_one_expression_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expression"):
        expression(text)


@given(st.lists(plain))
def test_every_argument_is_quoted(words: list[str]) -> None:
    text = arguments(words)
    assert text.count("'") % 2 == 0
    assert [word.replace("''", "'") for word in _split(text)] == words


def _split(text: str) -> list[str]:
    """Arguments as HTCondor splits them: quoted by ', which is doubled inside."""
    words, rest = [], text
    while rest:
        end = 1
        while rest[end] != "'" or rest[end + 1 : end + 2] == "'":
            end += 2 if rest[end] == "'" else 1
        words.append(rest[1:end])
        rest = rest[end + 2 :]
    return words
