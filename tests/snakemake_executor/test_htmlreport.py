import json
from pathlib import Path

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_fallow.efficiency import document
from snakemake_executor_plugin_fallow.htmlreport import section
from snakemake_executor_plugin_fallow.summary import JobSummary

JOB = JobSummary("k", "1.0", "map <b>", "map", "done", "", 1, centre="alder", waited_s=4, ran_s=100)


def write(records: Path, run: str) -> None:
    (records / f"{run}.json").write_text(json.dumps(document(run, [JOB])))


def test_the_latest_run_is_shown_unless_another_is_named(tmp_path: Path) -> None:
    for run in ("20260101-000000-a", "20260102-000000-b"):
        write(tmp_path, run)
    assert "Fallow run 20260102-000000-b" in section(tmp_path)
    assert "Fallow run 20260101-000000-a" in section(tmp_path, "20260101-000000-a")


def test_a_rule_is_a_row_and_its_name_no_markup(tmp_path: Path) -> None:
    write(tmp_path, "r")
    assert "<td>map &lt;b&gt;</td><td>alder</td><td>1</td>" in section(tmp_path)


@pytest.mark.parametrize("text", [None, "no", "{}", '{"run": "r", "rules": [{}]}'])
def test_without_a_summary_it_says_what_to_do(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(WorkflowError, match="run the workflow with --executor fallow first"):
        section(tmp_path)
