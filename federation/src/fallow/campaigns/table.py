"""Tables and grids as rows: streamed, checked line by line, and refused as a whole where anything is wrong."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fallow.campaigns.document import Range
from fallow.campaigns.problems import Problems
from fallow.errors import NotAvailableError, UsageError

MAX_ROWS = 2_000_000
ID_LENGTH = 200
VALUE_LENGTH = 4000
GIVE_UP = 1000
"""A line that cannot even be split is followed by nonsense; after so many, the rest is not read."""


class Row(NamedTuple):
    """One row: its id and its values, in the order of the table's columns."""

    id: str
    values: tuple[str, ...]


class Rows(NamedTuple):
    """All rows of one table."""

    columns: tuple[str, ...]
    rows: list[Row]


def read_table(path: Path, id_column: str, needed: Iterable[str]) -> Rows:
    """Read a table whole, or say what is wrong with it.

    Args:
        path: CSV with a head line, JSON lines or Parquet, by its suffix.
        id_column: The column that names each row.
        needed: The columns that templates name.

    Raises:
        UsageError: The file cannot be read, lacks a column, or has bad rows: the first ones with their line numbers.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path} is neither .csv, .jsonl nor .parquet.", remedy="Give the table one of these forms."
        )
    problems = Problems(str(path))
    try:
        lines = reader(path, problems)
        columns = next(lines)[1]
        _require_columns(path, columns, id_column, needed)
        return Rows(tuple(columns), _checked(lines, columns.index(id_column), len(columns), problems))
    except OSError as error:
        raise UsageError(
            f"Cannot read {path}: {error.strerror}.", remedy="Name an existing table."
        ) from error
    except StopIteration:
        problems.require_none()
        raise UsageError(f"{path} is empty.", remedy="Write a head line and rows.") from None


def grid_rows(grid: dict[str, Range | list[Any]], needed: Iterable[str]) -> Rows:
    """Every combination of the values; a row's id is its values, joined by `_`.

    Raises:
        UsageError: Too many, two of one name, a value that cannot be told, or a column that is missing.
    """
    columns = tuple(grid)
    missing = sorted(set(needed) - {*columns, "id"})
    if missing:
        raise UsageError(
            f"The grid has no {', '.join(missing)}.", remedy=f"It has {', '.join(columns)} and id."
        )
    count = math.prod(_length(values) for values in grid.values())
    if count > MAX_ROWS:
        raise UsageError(f"The grid has {count} rows; at most {MAX_ROWS} are taken.", remedy="Split it.")
    axes = [_axis(values) for values in grid.values()]
    problems = Problems("the grid")
    if "id" in columns:
        raise UsageError("A grid makes its ids itself.", remedy="Give the axis `id` another name.")
    combinations = ((number, ["_".join(one), *one]) for number, one in enumerate(itertools.product(*axes), 1))
    return Rows(("id", *columns), _checked(combinations, 0, len(columns) + 1, problems))


def _length(values: Range | list[Any]) -> int:
    return (values.to - values.from_) // values.step + 1 if isinstance(values, Range) else len(values)


def _axis(values: Range | list[Any]) -> Sequence[str]:
    if isinstance(values, Range):
        return [str(number) for number in range(values.from_, values.to + 1, values.step)]
    return [_text(value) for value in values]


def _checked(
    lines: Iterable[tuple[int, Sequence[str]]], id_at: int, width: int, problems: Problems
) -> list[Row]:
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for line, values in lines:
        if len(values) != width:
            problems.add(line, f"{len(values)} values where the head has {width}")
            continue
        name = values[id_at]
        first = seen.setdefault(name, line)
        if first != line:
            problems.add(line, f"the id {_shown(name)} is that of line {first} too")
        elif problem := _problem(name, values):
            problems.add(line, problem)
        else:
            rows.append(Row(name, tuple(values)))
        if len(seen) > MAX_ROWS:
            problems.add(line, f"more than {MAX_ROWS} rows")
            break
    problems.require_none()
    if not rows:
        raise UsageError(f"{problems.source} has no rows.", remedy="Write at least one.")
    return rows


def _problem(name: str, values: Sequence[str]) -> str:
    if not name:
        return "the id is empty"
    if len(name) > ID_LENGTH:
        return f"the id is longer than {ID_LENGTH} characters"
    for value in values:
        if not value.isprintable():
            return f"{_shown(value)} holds a control character"
        if len(value) > VALUE_LENGTH:
            return f"a value is longer than {VALUE_LENGTH} characters"
    return ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _require_columns(path: Path, columns: Sequence[str], id_column: str, needed: Iterable[str]) -> None:
    doubled = sorted({name for name in columns if list(columns).count(name) > 1})
    if doubled:
        raise UsageError(
            f"{path}, line 1: several columns are called {', '.join(doubled)}.", remedy="Rename them."
        )
    missing = sorted({id_column, *needed} - set(columns))
    if missing:
        raise UsageError(
            f"{path}, line 1: there is no column {', '.join(missing)}.",
            remedy=f"The table has {', '.join(map(_shown, columns))}.",
        )


def _decoded(path: Path, problems: Problems) -> Iterator[str]:
    """The lines of a text file; one that is not UTF-8 is a problem, and stands as an empty one."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                problems.add(number, f"not UTF-8 at byte {error.start + 1}")
                text = "\n"
            if "\0" in text:
                problems.add(number, "it holds a NUL")
                text = "\n"
            yield text


def _csv(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_decoded(path, problems), strict=True)
    bad = 0
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(reader.line_num, str(error))
            bad += 1
            if bad >= GIVE_UP:
                return
            continue
        if values:
            yield reader.line_num, values


def _json_lines(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    columns: list[str] = []
    for number, line in enumerate(_decoded(path, problems), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(number, f"no JSON: {error}")
            continue
        if not isinstance(found, dict):
            problems.add(number, "not a JSON object")
            continue
        if not columns:
            columns = list(found)
            yield number, columns
        if found.keys() != set(columns):
            odd = sorted(found.keys() ^ set(columns))
            problems.add(number, f"other columns than the first row: {', '.join(map(_shown, odd))}")
            continue
        try:
            yield number, [_text(found[name]) for name in columns]
        except UsageError as error:
            problems.add(number, error.what)


def _parquet(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise NotAvailableError(
            "pyarrow is not installed.", remedy="Install it with: pip install 'fallow[campaigns]'"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            yield 1, columns
            number = 0
            for batch in file.iter_batches():
                for values in zip(*(column.to_pylist() for column in batch.columns)):
                    number += 1
                    try:
                        yield number, [_text(value) for value in values]
                    except UsageError as error:
                        problems.add(number, error.what)
    except ArrowException as error:
        raise UsageError(f"{path} is no Parquet file: {' '.join(str(error).split())[:300]}.") from error


def _text(value: Any) -> str:
    """A value as it stands in a command.

    Raises:
        UsageError: It is neither text, number nor truth value.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise UsageError(f"{_shown(repr(value))} is neither text, a number nor true or false")
