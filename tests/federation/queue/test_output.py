import json

import pytest

from fallow.errors import NotAvailableError
from fallow.queue.output import Note, Part, Shown, last_lines, parse


def part(text: str, size: int | None = None) -> Part:
    return Part(len(text) if size is None else size, text.encode())


def test_a_note_is_read_as_the_job_wrote_it() -> None:
    said = {"stdout": {"bytes": 7, "text": "a\nb\n"}, "logs/x.log": None}
    text = json.dumps({"began": 5.0, "said": said, "cpu_s": 1.0}).encode()
    assert parse(text) == Note(5.0, {"stdout": Part(7, b"a\nb\n")})


@pytest.mark.parametrize("text", [b"", b"[]", b'{"began": 1}', b'{"began": 1, "said": {"stdout": 3}}'])
def test_what_is_no_note_is_said_to_make_no_sense(text: bytes) -> None:
    with pytest.raises(NotAvailableError, match="makes no sense"):
        parse(text)


def test_only_what_is_new_is_shown() -> None:
    shown = Shown()
    assert shown.new(part("one\n")) == "one\n"
    assert shown.new(part("one\n")) == ""
    assert shown.new(part("one\ntwo\n")) == "two\n"


def test_it_begins_with_the_last_lines() -> None:
    shown = Shown(lines=1)
    assert shown.new(part("one\ntwo\n")) == "two\n"
    assert shown.new(part("one\ntwo\nthree\nfour\n")) == "three\nfour\n"


def test_a_gap_in_what_is_known_is_told() -> None:
    shown = Shown()
    shown.new(part("a" * 10))
    assert shown.new(part("zz", size=100)) == "[88 bytes left out]\nzz"


def test_a_job_that_was_started_again_is_shown_from_its_beginning() -> None:
    shown = Shown()
    shown.new(part("first try\n"))
    shown.restart()
    assert shown.new(part("again\n")) == "again\n"


def test_no_lines_are_none() -> None:
    assert last_lines("a\nb\n", 0) == ""
    assert last_lines("a\nb\n", None) == "a\nb\n"
