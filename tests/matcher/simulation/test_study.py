"""Policies side by side: figures that follow from a few jobs, what cheating changes, and what people are shown."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import UsageError
from fallow.rules import default_text, parse_rules
from fallow_matcher.simulation.cheats import attempts
from fallow_matcher.simulation.command import POLICIES, simulate
from fallow_matcher.simulation.generate import DAY_S, Stream, draw
from fallow_matcher.simulation.study import ALONE, BUILT_IN, Study, cheating, compare
from fallow_matcher.simulation.workload import Job, Step, Workload, steady

RULES = parse_rules(default_text())
CENTRES = ("alder", "birch", "cedar")

FEDERATION = """
mine = "alder"
[centres.alder]
cores = 4
work = { jobs_per_day = 400, burst = 20, mean_s = 600 }
[centres.birch]
cores = 2
work = { jobs_per_day = 150, burst = 10, mean_s = 600 }
"""


def busy() -> Workload:
    """Bursts at three centres, the first four times as large as the others."""
    jobs = []
    for centre, cores in zip(CENTRES, (40, 10, 10), strict=True):
        stream = Stream(jobs_per_day=12 * cores, burst=20, mean_s=7200, spread=1, requested=4)
        jobs += draw(stream, centre, 8 * DAY_S, random.Random(centre))
    return Workload(
        sorted(jobs, key=lambda job: job.submitted_s), steady({"alder": 50, "birch": 12, "cedar": 12})
    )


def test_figures_follow_from_the_runs() -> None:
    jobs = [Job("alder", 0, 100, 100), Job("alder", 0, 100, 100), Job("birch", 200, 5, 5, 1)]
    workload = Workload(jobs, steady({"alder": 1, "birch": 1}))
    alone, pooled = compare(workload, ["first come"], RULES, {})

    alder, birch = alone.centres
    assert (alder.mean_wait_s, alder.p95_wait_s, alder.slowdown, alder.makespan_s) == (50, 100, 1.5, 200)
    assert (alder.utilisation, birch.utilisation, birch.slowdown) == (1, 0, 1)
    assert alone.total.utilisation == 0.5
    assert alone.jain == pytest.approx((1.5 + 1) ** 2 / (2 * (1.5**2 + 1)))
    assert (pooled.total.mean_wait_s, pooled.cut, pooled.exchanged) == (0, 1, 100 / 205)
    assert (pooled.worst_loss_s, pooled.worst_centre) == (0, "birch")
    assert pooled.centres[1].given_h == 100 / 3600 == pooled.centres[0].used_h
    assert (pooled.centres[0].relative, pooled.centres[1].relative) == (0, None)


def test_a_job_that_is_too_wide_alone_is_not_compared() -> None:
    jobs = [
        Job("alder", 0, 100, 100),
        Job("birch", 1, 50, 50, 2),
        Job("birch", 2, 10, 10),
        Job("birch", 3, 10, 10),
    ]
    alone, pooled = compare(Workload(jobs, steady({"alder": 2, "birch": 1})), ["fallow"], RULES, {})

    assert (alone.centres[1].unserved, pooled.centres[1].unserved) == (1, 0)
    assert (alone.centres[1].mean_wait_s, pooled.centres[1].loss_s) == (4.5, -4.5)
    assert pooled.centres[1].mean_wait_s > 4.5


def test_capacity_that_changes_counts_while_it_is_there() -> None:
    jobs = [Job("alder", 0, 50, 50), Job("alder", 100, 1, 1)]
    workload = Workload(jobs, [*steady({"alder": 1}), Step("alder", 50, 3)])

    assert compare(workload, [], RULES, {})[0].total.utilisation == 50 / (50 + 150)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != ALONE])
@given(
    st.lists(
        st.builds(
            Job,
            st.just("alder"),
            st.integers(0, 300),
            st.integers(1, 100),
            st.integers(1, 100),
            st.integers(1, 2),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_a_federation_of_one_is_as_if_there_were_none(name: str, jobs: list[Job]) -> None:
    alone, federated = compare(Workload(jobs, steady({"alder": 2})), [name], RULES, {})

    assert federated.total.mean_wait_s == alone.total.mean_wait_s
    assert federated.exchanged == 0


def test_fair_share_serves_who_used_less() -> None:
    jobs = [Job("alder", 0, 1000, 1000), Job("alder", 1, 10, 10), Job("birch", 2, 10, 10)]
    workload = Workload(jobs, steady({"cedar": 1}))
    first_come, fair = compare(workload, ["first come", "fair share"], RULES, {})[1:]

    assert [each.mean_wait_s for each in first_come.centres[:2]] == [999 / 2, 1008]
    assert [each.mean_wait_s for each in fair.centres[:2]] == [1009 / 2, 998]


def test_every_attempt_keeps_the_jobs_and_adds_no_capacity_but_the_liars() -> None:
    workload = busy()
    for attempt in attempts(workload, "cedar"):
        units = {
            owner: sum(
                step.units for step in attempt.workload.capacity if (step.centre in attempt.names) == owner
            )
            for owner in (False, True)
        }
        lies = "liar" in attempt.strategy
        less = attempt.strategy == "free rider"
        assert len(attempt.workload.jobs) == len(workload.jobs)
        assert units == {False: 62, True: 24 if lies else 1 if less else 12}


def test_giving_a_tenth_a_new_name_and_a_lie_about_capacity_do_not_pay() -> None:
    workload = busy()
    alone, honest = compare(workload, ["fallow"], RULES, {})

    found = {each.strategy: each for each in cheating(workload, "cedar", honest, alone, RULES)}

    for strategy in ("free rider", "newcomer", "liar about capacity"):
        gain = found[strategy].gain
        assert gain is not None
        assert gain < 0.05, strategy


def test_every_contributor_waits_less_than_alone_and_all_wait_far_less() -> None:
    _, honest = compare(busy(), ["fallow"], RULES, {})

    assert honest.cut is not None
    assert honest.cut > 0.4
    assert honest.worst_loss_s is not None
    assert honest.worst_loss_s < 0


def called(*words: str) -> str:
    return CliRunner().invoke(simulate, list(words), catch_exceptions=False).stdout


def test_the_command_answers_what_it_would_bring_us(tmp_path: Path) -> None:
    (tmp_path / "capacity.toml").write_text(FEDERATION)

    text = called("--join", str(tmp_path / "capacity.toml"), "--cheater", "birch")

    assert all(name in text for name in POLICIES[:-1])
    assert "What cheating would bring" in text
    assert "Federated (fallow), a job waits" in text
    assert "alder's own jobs wait" in text


def test_json_is_the_whole_study_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    (tmp_path / "capacity.toml").write_text(FEDERATION)
    words = ["--join", str(tmp_path / "capacity.toml"), "--policy", "take back", "--json"]

    first = called(*words)

    assert called(*words) == first != called(*words, "--seed", "2")
    study = Study.model_validate(json.loads(first))
    assert [each.policy for each in study.policies] == ["isolated", "take back"]
    assert study.mine == "alder"


def test_the_report_is_one_file_without_scripts(tmp_path: Path) -> None:
    (tmp_path / "capacity.toml").write_text(FEDERATION.replace("birch", "birch-and-beech"))
    report = tmp_path / "report.html"

    said = called("--join", str(tmp_path / "capacity.toml"), "--html", str(report))

    page = report.read_text()
    assert f"The report is in {report}." in said
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "birch-and-beech" in page
    assert 'src="' not in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Nothing says what to simulate"),
        (["--join", "a.toml", "--trace", "t.swf"], "exclude each other"),
        (["--join", "a.toml", "--centre", "alder=1"], "--centre goes with --trace"),
        (["--trace", "t.swf", "--mine", "s.txt"], "--mine goes with --join"),
        (["--trace", "t.swf"], "No centre is named"),
        (["--trace", "t.swf", "--centre", "a=1", "--centre", "a=2"], "named twice"),
    ],
)
def test_options_that_contradict_each_other_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        called(*words)


def test_a_cheater_that_is_no_centre_is_refused(tmp_path: Path) -> None:
    (tmp_path / "capacity.toml").write_text(FEDERATION)

    with pytest.raises(UsageError, match="there is no such centre"):
        called("--join", str(tmp_path / "capacity.toml"), "--cheater", "cedar")
