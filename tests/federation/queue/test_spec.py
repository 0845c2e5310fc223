from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": "ubuntu:latest"}, "image"),
        ({"images": ("sha256:12",)}, "images"),
        ({"argv": ()}, "argv"),
        ({"argv": ("X=1",)}, "name of a program"),
        ({"argv": ("-i",)}, "name of a program"),
        ({"cores": 0}, "cores"),
        ({"walltime_s": -1}, "walltime_s"),
        ({"work_type": 'x" || true'}, "work_type"),
        ({"centre": 'alder" || "'}, "centre"),
        ({"environment": {"A B": "1"}}, "not names of environment variables"),
        ({"environment": {"A": "$(reboot)"}}, "would not survive"),
        ({"input_files": (Path("relative"),)}, "not an absolute path"),
        ({"input_files": (Path("/a,b"),)}, "comma"),
        ({"input_files": (Path("/a/x"), Path("/b/x"))}, "same name"),
        ({"owner": "root"}, "owner"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused_and_the_field_named(
    spec: Any, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        spec(**changes)


def test_a_specification_cannot_be_changed(spec: Any) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec().cores = 64
