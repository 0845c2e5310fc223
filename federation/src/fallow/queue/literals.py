"""Text from outside into ClassAd code and submit descriptions, only ever through the ClassAd library.

Three grammars meet in one submit description: its own macros (`$(X)`), old ClassAd literals, and HTCondor's
argument syntax. Each function here states which one its result belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fallow.errors import UsageError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked(text: str, *, what: str) -> str:
    """Return `text` if it can stand in a job ad at all.

    Raises:
        UsageError: It holds a control character, or `$$`, which would be replaced by the slot's attributes.
    """
    if _CONTROL.search(text):
        raise UsageError(
            f"{what} holds a control character: {text!r}.", remedy="Put such text into a file of the job."
        )
    if "$$" in text:
        raise UsageError(
            f"{what} holds '$$', which HTCondor replaces at match time: {text!r}.",
            remedy="Put such text into a script of the job.",
        )
    return text


def literal(text: str, *, what: str = "A value") -> str:
    """The old ClassAd string literal for `text`, fit for a submit description."""
    return macro_safe(quoted(text, what=what))


def quoted(text: str, *, what: str = "A value") -> str:
    """The old ClassAd string literal for `text`, as the schedd's own protocol takes it."""
    import classad2

    printed = classad2.ClassAd({"v": checked(text, what=what)}).printOld()
    return str(printed).partition(" = ")[2].rstrip("\n")


def expression(text: str, *, what: str = "An expression") -> str:
    """The ClassAd library's own spelling of the one expression in `text`.

    Raises:
        UsageError: `text` is not exactly one ClassAd expression.
    """
    import classad2

    checked(text, what=what)
    try:
        # each form alone lets something through: the first text after a "]", the second a ")" with a "(" after it
        parsed = [classad2.ClassAd(form) for form in (f"[e = {text}]", f"[e = ({text})]")]
        if any(len(ad) != 1 for ad in parsed):
            raise UsageError(
                f"{what} is more than one expression: {text!r}.", remedy="Give a single ClassAd expression."
            )
        return str(parsed[0].printOld()).partition(" = ")[2].rstrip("\n")  # unlike str(), on one line
    except classad2.ClassAdException as error:
        raise UsageError(
            f"{what} is not a ClassAd expression: {text!r}.", remedy="Mend its syntax."
        ) from error


def equals(attribute: str, value: str) -> str:
    """A constraint that is true where `attribute` (a name of ours) is `value`, case-sensitively."""
    import classad2

    return f"{attribute} =?= {classad2.quote(checked(value, what=attribute))}"


def macro_safe(text: str) -> str:
    """`text` such that a submit description leaves it as it is."""
    return text.replace("$", "$(DOLLAR)")


def arguments(argv: Iterable[str]) -> str:
    """An argument list in HTCondor's (V2, raw) syntax."""
    return " ".join(_quoted(word) for word in argv)


def environment(variables: Mapping[str, str]) -> str:
    """Environment variables in HTCondor's (V2, raw) syntax, sorted: equal environments are equal text."""
    return " ".join(_quoted(f"{name}={value}") for name, value in sorted(variables.items()))


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"
