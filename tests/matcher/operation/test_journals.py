"""How much of a file that is appended to is whole."""

from __future__ import annotations

import io

import pytest

from fallow_matcher.operation.journals import whole_bytes, with_gap

HEAD = b"107 1 CreationTimestamp 1763000000\n103 0.0 NextClusterNum 7\n"
ONE = b'105 \n101 7.0 Job Machine\n103 7.0 Owner "north.ann"\n106 \n'


def whole(name: str, data: bytes, size: int | None = None) -> bytes:
    stream = io.BytesIO(data)
    kept = whole_bytes(name, stream, len(data) if size is None else size)
    assert stream.tell() == 0
    return data[:kept]


def test_a_transaction_that_has_not_ended_is_left_out() -> None:
    assert whole("state/spool/job_queue.log", HEAD + ONE + ONE[:-5]) == HEAD + ONE


def test_a_line_that_has_not_ended_is_left_out() -> None:
    assert whole("job_queue.log", HEAD + b"103 0.0 NextClus") == HEAD


def test_what_stands_outside_of_transactions_is_kept() -> None:
    shortened = HEAD + ONE.removeprefix(b"105 \n").removesuffix(b"106 \n")
    assert whole("Accountantnew.log", shortened) == shortened


def test_what_was_appended_since_the_size_was_taken_is_left_out() -> None:
    assert whole("job_queue.log", HEAD + ONE + ONE, len(HEAD + ONE) + 3) == HEAD + ONE


@pytest.mark.parametrize("name", ["history", "history.20261122T010203", "epoch_history", "epoch_history.1"])
def test_a_record_without_its_last_line_is_left_out(name: str) -> None:
    record = b"ClusterId = 1\n*** Offset = 0 ClusterId = 1\n"
    assert whole(name, record + b"ClusterId = 2\n***") == record
    assert whole(name, b"ClusterId = 2\n") == b""


def test_a_long_record_that_has_not_ended_is_left_out_whole() -> None:
    record = b"ClusterId = 1\n*** Offset = 0\n"
    assert whole("history", record + b"".join(b"A%d = 1\n" % n for n in range(30_000))) == record


def test_lines_of_the_audit_are_whole() -> None:
    assert whole("audit.jsonl", b'{"a": 1}\n{"b"') == b'{"a": 1}\n'


def test_any_other_file_is_kept_as_it_is() -> None:
    assert whole("cluster7.proc0.subproc0/input", b"no end") == b"no end"


def test_the_next_cluster_gets_a_number_that_none_had() -> None:
    log = HEAD + ONE + b"103 0.0 NextClusterNum 9\n"
    assert with_gap(log, 1000) == b"103 0.0 NextClusterNum 1009\n"
    assert with_gap(ONE, 1000) == b""
