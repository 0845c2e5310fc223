from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_interface_executor_plugins.utils import TargetSpec, encode_target_jobs_cli_args, format_cli_arg

from snakemake_executor_plugin_fallow.job import fallow_job
from snakemake_executor_plugin_fallow.words import words

VALUES = st.text(min_size=1).filter(lambda text: not (text[0] == text[-1] and text[0] in "'\""))
"""Snakemake takes what is in quotes for quoted."""


@given(VALUES)
def test_a_value_comes_out_as_snakemake_put_it_in(value: str) -> None:
    line = f"--first {format_cli_arg('--set', [value])} --cores 2"
    assert words(line) == ["--first", "--set", value, "--cores", "2"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--shared-fs-usage 'none'  --nolock ", ["--shared-fs-usage", "none", "--nolock"]),
        ("--snakefile work\\ flow/Snakefile", ["--snakefile", "work flow/Snakefile"]),
        ("--path 'a b'\"'\"'c'", ["--path", "a b'c"]),
        ("", []),
    ],
)
def test_what_is_quoted_for_a_shell_is_read_as_by_a_shell(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_a_quote_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        words("--set 'x")


@pytest.mark.parametrize(
    "wildcards",
    [
        {},
        {"name": "plain", "other": "2"},
        {"name": 'ends with "quote"', "other": "it's"},
        {"name": "a,b", "other": "c"},
        {"name": "key=value:x"},
        {"name": 'one "and", two'},
    ],
)
def test_the_job_reads_its_targets_as_they_were_meant(wildcards: dict[str, Any]) -> None:
    targets = [TargetSpec("rule_name", wildcards)]
    line = format_cli_arg("--target-jobs", encode_target_jobs_cli_args(targets))
    assert fallow_job.target_jobs(words(line)[1:]) == targets
