"""Several nodes in one batch job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from fallow_pilots.node.several import own_part, together, write_outcome
from fallow_pilots.outcome import Code, Outcome
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]
START = datetime(2026, 1, 1, tzinfo=UTC)


def outcome(code: Code, **fields: object) -> Outcome:
    values = {"code": code, "reason": f"Said {int(code)}.", "started": START, "ended": START + timedelta(60)}
    return Outcome.model_validate({**values, **fields})


def on_node(number: int, nodes: int = 3) -> dict[str, str]:
    return {"SLURM_NODEID": str(number), "SLURM_STEP_NUM_NODES": str(nodes)}


def test_a_pilot_of_one_node_keeps_its_name(make_spec: Make) -> None:
    assert own_part(make_spec(), {}).pilot == "alder-7"
    assert own_part(make_spec(), on_node(0, 1)).pilot == "alder-7"


def test_each_of_several_nodes_has_a_name_of_its_own(make_spec: Make) -> None:
    assert own_part(make_spec(), on_node(2)).pilot == "alder-7n2"
    by_our_script = {"FALLOW_NODE": "1", "FALLOW_NODES": "2"}
    assert own_part(make_spec(), by_our_script).pilot == "alder-7n1"


def test_the_outcome_is_there_once_every_node_has_ended(make_spec: Make) -> None:
    spec = make_spec()
    for number in (2, 0):
        write_outcome(spec, outcome(Code.NO_WORK), on_node(number))
        assert not spec.outcome_file.exists()
    write_outcome(spec, outcome(Code.WORK_DONE, jobs_run=4, busy_core_s=40), on_node(1))
    whole = Outcome.model_validate_json(spec.outcome_file.read_text())
    assert (whole.code, whole.jobs_run, whole.busy_core_s) == (Code.WORK_DONE, 4, 40)
    assert whole.reason == "1 of 3 nodes: Said 200."


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([Code.ASKED_TO_STOP, Code.SITE_BROKEN], Code.ASKED_TO_STOP),
        ([Code.WORK_DONE, Code.SITE_BROKEN], Code.WORK_DONE),
        ([Code.NO_WORK, Code.SITE_BROKEN], Code.SITE_BROKEN),
        ([Code.NO_WORK, Code.NO_WORK], Code.NO_WORK),
    ],
)
def test_work_that_was_done_counts_before_what_went_wrong(codes: list[Code], code: Code) -> None:
    assert together([outcome(each) for each in codes]).code == code
