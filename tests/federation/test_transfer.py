"""Names that files have here and in the storage."""

from pathlib import Path

import pytest

from fallow.errors import UsageError
from fallow.storage.transfer import keys


def test_a_directory_is_uploaded_with_all_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "input" / "deep").mkdir(parents=True)
    (tmp_path / "input" / "a.txt").touch()
    (tmp_path / "input" / "deep" / "b.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert [key for _, key in keys([Path("input")], "run1")] == ["run1/input/a.txt", "run1/input/deep/b.txt"]


@pytest.mark.parametrize(
    ("named", "to"), [("/etc/passwd", ""), ("../x", ""), ("x", "/abs"), ("x", "a/../../b")]
)
def test_names_outside_of_the_own_folder_are_refused(named: str, to: str) -> None:
    with pytest.raises(UsageError, match="absolute paths"):
        list(keys([Path(named)], to))
