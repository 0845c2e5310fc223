from dataclasses import replace

import pytest

from snakemake_executor_plugin_fallow.efficiency import document, fared, table
from snakemake_executor_plugin_fallow.notes import Note, parse
from snakemake_executor_plugin_fallow.summary import JobSummary, with_note

JOB = JobSummary(
    "k", "1.0", "map", "map (n=1)", "done", "", 2, centre="alder", waited_s=4, ran_s=100, memory_mb=1000,
    walltime_s=3600, used_cpu_s=100.0, used_mb=500.0,
)  # fmt: skip


def test_shares_are_of_what_was_asked_for() -> None:
    [row] = fared([JOB, replace(JOB, used_cpu_s=60.0, used_mb=250.0)])
    assert row.cpu_share == pytest.approx(160 / 400)
    assert row.memory_share == pytest.approx(0.5)


def test_what_is_proposed_has_a_margin_over_the_greediest_job_at_any_centre() -> None:
    rows = fared([JOB, replace(JOB, centre="birch", used_mb=700.0, ran_s=400)])
    assert {row.propose_mem_mb for row in rows} == {896}
    assert {row.propose_runtime_min for row in rows} == {10}


def test_a_rule_that_ran_out_of_memory_is_told_to_ask_for_more_than_it_did() -> None:
    failed = replace(JOB, outcome="failed", reason="out of memory (mem_mb): used 1100 MB", used_mb=None)
    [row] = fared([failed])
    assert row.propose_mem_mb == 1536
    assert row.propose_runtime_min is None


def test_a_rule_that_ran_out_of_time_is_told_to_ask_for_more() -> None:
    [row] = fared([replace(JOB, outcome="failed", reason="out of time: …")])
    assert row.propose_runtime_min == 90


def test_each_rule_at_each_centre_has_a_row_with_what_became_of_its_jobs() -> None:
    rows = fared(
        [
            JOB,
            replace(JOB, outcome="lost"),
            replace(JOB, outcome="failed", centre=None),
            replace(JOB, rule="join"),
        ]
    )
    assert [(row.rule, row.centre, row.done, row.failed, row.lost) for row in rows] == [
        ("map", "alder", 1, 0, 1),
        ("map", "-", 0, 1, 0),
        ("join", "alder", 1, 0, 0),
    ]


def test_what_nobody_knows_is_a_dash() -> None:
    bare = JobSummary("k", "1.0", "map", "map", "lost", "gone", 1)
    assert table([bare]).splitlines()[1].split() == ["map", "-", "0", "0", "1", *["-"] * 6]


def test_the_document_has_every_rule_and_every_job() -> None:
    made = document("r", [JOB])
    assert (made["run"], len(made["rules"]), made["jobs"][0]["used_mb"]) == ("r", 1, 500.0)


def test_a_note_completes_a_summary() -> None:
    bare = replace(JOB, used_cpu_s=None, used_mb=None)
    assert with_note(bare, Note(3.0, 20.0)) == replace(JOB, used_cpu_s=3.0, used_mb=20.0)
    assert with_note(bare, None) == bare


@pytest.mark.parametrize(
    "text", [b"no", b"[]", b'{"said": 1}', b'{"said": {}, "cpu_s": "x", "memory_mb": 1}']
)
def test_a_note_that_is_none_counts_for_nothing(text: bytes) -> None:
    assert parse(text) is None
