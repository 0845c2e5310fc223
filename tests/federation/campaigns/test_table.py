"""Tables: what is taken, and how bad ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from fallow.campaigns.document import Range
from fallow.campaigns.table import Row, grid_rows, read_table
from fallow.errors import UsageError


def _refused(path: Path, *needed: str) -> str:
    with pytest.raises(UsageError) as refused:
        read_table(path, "id", needed)
    return str(refused.value)


def test_a_table_is_the_same_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,energy,name\na,10,"x, y"\nb,2.5,é\n')
    lines = [{"id": "a", "energy": 10, "name": "x, y"}, {"id": "b", "energy": 2.5, "name": "é"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    columns = {"id": ["a", "b"], "energy": ["10", "2.5"], "name": ["x, y", "é"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    found = [read_table(tmp_path / f"t.{form}", "id", ["energy"]) for form in ("csv", "jsonl", "parquet")]
    assert found[0] == found[1] == found[2]
    assert found[0].rows[0] == Row("a", ("a", "10", "x, y"))


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,enregy\na,1\n")
    assert "line 1: there is no column energy. The table has 'id', 'enregy'." in _refused(path, "energy")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"id,x\na,1\nb,2\na,3\n", "line 4: the id 'a' is that of line 2 too"),
        (b"id,x\na,1\nb,\xff2\n", "line 3: not UTF-8 at byte 3"),
        (b"id,x\na,1\nb\n", "line 3: 1 values where the head has 2"),
        (b"id,x\na,1\n,2\n", "line 3: the id is empty"),
        (b"id,x\na,1\nb,2\x00\n", "line 3: it holds a NUL"),
        (b"id,x\na,\x1b[2J\n", "line 2: '\\x1b[2J' holds a control character"),
        (b'id,x\na,"1\n', "line 2: unexpected end of data"),
        (b"id,x,x\na,1,2\n", "line 1: several columns are called x"),
        (b"id,x\n", "has no rows"),
        (b"", "is empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    assert problem in _refused(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"id": "b"}', "line 2: other columns than the first row: 'x'"),
        ('{"id": "b", "x": [1]}', "line 2: '[1]' is neither text, a number nor true or false"),
        ('{"id": "b", "x": NaN}', "line 2: 'nan' is neither text, a number nor true or false"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "a", "x": 1}\n' + line + "\n")
    assert problem in _refused(path)


def test_a_million_bad_rows_show_the_first_ten_and_their_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + 1_000_000 * "same\n")
    said = _refused(path)
    assert "1000000 problems: line 2: 1 values where the head has 2; line 3:" in said
    assert "… and 999990 more" in said
    assert len(said) < 1000


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nonsense")
    assert "is no Parquet file" in _refused(path)


def test_a_grid_is_every_combination() -> None:
    found = grid_rows(
        {"energy": [10, 2.5], "seed": Range.model_validate({"from": 1, "to": 3})}, ["seed", "id"]
    )
    assert found.columns == ("id", "energy", "seed")
    assert [row.id for row in found.rows] == ["10_1", "10_2", "10_3", "2.5_1", "2.5_2", "2.5_3"]


def test_a_grid_that_is_too_large_is_refused_before_it_is_made() -> None:
    huge = Range.model_validate({"from": 1, "to": 10**9})
    with pytest.raises(UsageError, match="1000000000000000000 rows"):
        grid_rows({"a": huge, "b": huge}, [])


@given(st.binary(max_size=400))
def test_no_bytes_make_a_reader_fail_in_another_way(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    for suffix in (".csv", ".jsonl"):
        path = path.with_suffix(suffix)
        path.write_bytes(b"id,x\n" + text if suffix == ".csv" else text)
        try:
            rows = read_table(path, "id", []).rows
        except UsageError:
            continue
        assert len({row.id for row in rows}) == len(rows)
