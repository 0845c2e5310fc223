from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import classad2
import pytest

from fallow_pilots.node.condor import (
    HOME_FIRST,
    LONGEST,
    Node,
    Programs,
    literal,
    overrides,
    render,
    settings,
    start_expression,
)
from fallow_pilots.node.layout import Layout
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]
PROGRAMS = Programs(sbin=Path("/usr/sbin"), libexec=Path("/usr/libexec/condor"))


@pytest.fixture
def values(make_spec: Make, place: Layout) -> dict[str, str]:
    node = Node(hostname="wn1", cores=4, memory_mb=4000, disk_kb=2048, capabilities={"HasSIF": True})
    return settings(make_spec(), place, PROGRAMS, node, until=1_800_000_000)


def test_a_pilot_joins_the_pools_of_both_hubs(make_spec: Make, place: Layout) -> None:
    spec = make_spec(collector="one:9618", other_collector="two:9618")
    values = settings(spec, place, PROGRAMS, Node("wn1", 4, 4000, 2048), until=1_800_000_000)
    assert (values["COLLECTOR_HOST"], values["CCB_ADDRESS"]) == ("one:9618, two:9618", "$(COLLECTOR_HOST)")


@pytest.mark.parametrize("level", ["DEFAULT", "CLIENT", "READ"])
@pytest.mark.parametrize("fence", ["AUTHENTICATION", "ENCRYPTION", "INTEGRITY"])
def test_every_connection_is_fenced(values: dict[str, str], level: str, fence: str) -> None:
    assert values[f"SEC_{level}_{fence}"] == "REQUIRED"


@pytest.mark.parametrize("level", ["DEFAULT", "CLIENT", "READ"])
def test_tokens_are_the_only_way_to_authenticate(values: dict[str, str], level: str) -> None:
    assert values[f"SEC_{level}_AUTHENTICATION_METHODS"] == "IDTOKENS"


def test_no_list_of_who_may_has_a_wildcard(values: dict[str, str]) -> None:
    allowed = {name: value for name, value in values.items() if name.startswith("ALLOW_")}
    assert allowed
    assert not [name for name, value in allowed.items() if "*" in value]


def test_nobody_administers_a_pilot_from_afar(values: dict[str, str]) -> None:
    assert values["ALLOW_ADMINISTRATOR"] == ""
    assert values["DENY_ADMINISTRATOR"] == "*"
    assert values["SEC_ENABLE_REMOTE_ADMINISTRATION"] == "False"


def test_a_pilot_has_no_signing_key(values: dict[str, str], place: Layout) -> None:
    assert values["SEC_PASSWORD_DIRECTORY"] == str(place.passwords)
    assert not list(place.passwords.iterdir())


def test_the_token_lies_outside_of_what_payloads_have(values: dict[str, str]) -> None:
    assert not Path(values["SEC_TOKEN_DIRECTORY"]).is_relative_to(values["EXECUTE"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SINGULARITY_JOB", "True"),
        ("SINGULARITY_BIND_EXPR", '""'),
        ("SINGULARITY_IMAGE_EXPR", "TARGET.ContainerImage"),
        ("SINGULARITY_USE_PID_NAMESPACES", "True"),
        ("STARTER_ALLOW_JOB_PRE_AND_POST_CMD", "False"),
        ("STARTER_DISABLE_USER_SUPPLIED_TRANSFER_PLUGINS", "True"),
        ("ENABLE_URL_TRANSFERS", "False"),
        ("ENABLE_SSH_TO_JOB", "False"),
        ("ENABLE_CHIRP", "False"),
        ("USE_PROCD", "True"),
    ],
)
def test_payloads_are_kept_in(values: dict[str, str], name: str, value: str) -> None:
    assert values[name] == value


def test_the_jobs_hook_is_always_ours(values: dict[str, str], place: Layout) -> None:
    assert values[f"{values['STARTER_JOB_HOOK_KEYWORD']}_HOOK_PREPARE_JOB"] == str(place.hook)


def test_the_pilot_only_dials_out(values: dict[str, str]) -> None:
    assert values["CCB_ADDRESS"] == "$(COLLECTOR_HOST)"
    assert values["COLLECTOR_HOST"] == "hub.example.org:9618"


@pytest.mark.parametrize(("length", "shared"), [(LONGEST, "True"), (LONGEST + 1, "False")])
def test_daemons_share_a_port_where_there_is_room_for_the_socket(
    make_spec: Make, length: int, shared: str
) -> None:
    node = Node(hostname="wn1", cores=4, memory_mb=4000, disk_kb=2048)
    place = Layout(Path("/scratch".ljust(length, "x")))
    found = settings(make_spec(), place, PROGRAMS, node, until=1_800_000_000)
    assert found["USE_SHARED_PORT"] == shared
    assert ("SHARED_PORT" in found["DAEMON_LIST"]) is (shared == "True")


def test_the_slot_offers_what_the_launcher_asked_for(values: dict[str, str]) -> None:
    assert (values["NUM_CPUS"], values["MEMORY"], values["DISK"]) == ("4", "4000", "2048")
    assert values["SLOT_TYPE_1_PARTITIONABLE"] == "True"


def test_the_slot_says_whose_it_is_and_until_when(values: dict[str, str]) -> None:
    assert values["FallowCentre"] == '"alder"'
    assert values["FallowPilot"] == '"alder-7"'
    assert values["FallowUntil"] == "1800000000"
    assert {"FallowCentre", "FallowPilot", "FallowUntil", "HasSIF"} == set(values["STARTD_ATTRS"].split(", "))


@pytest.mark.parametrize(
    "clause",
    [
        "isUndefined(TARGET.PreCmd) && isUndefined(TARGET.PostCmd)",
        "TARGET.JobUniverse == 5",
        "TARGET.FallowWalltime <= MY.FallowUntil - time()",
    ],
)
def test_start_repeats_the_submit_checks(make_spec: Make, clause: str) -> None:
    assert f"({clause})" in start_expression(make_spec())


def test_start_holds_the_centres_conditions(make_spec: Make) -> None:
    condition = 'TARGET.FallowWorkType =?= "urgent"'
    assert start_expression(make_spec(conditions=(condition,))).endswith(f"({condition})")


def test_start_does_not_split_the_queue_by_environment(make_spec: Make) -> None:
    assert "Environment" not in start_expression(make_spec())


def test_configuration_keeps_dollars_of_patterns(make_spec: Make) -> None:
    assert not re.search(r"\$(?!\()", start_expression(make_spec()))


def test_an_open_slot_only_moves_its_end() -> None:
    assert overrides(until=5, closed=False, withdrawn=False) == "FallowUntil = 5\n"


def test_a_draining_slot_takes_nothing_new() -> None:
    assert "FALLOW_ACCEPT = False\n" in overrides(until=5, closed=True, withdrawn=False)


def test_a_withdrawn_slot_gives_back_what_runs_and_holds_no_job() -> None:
    changed = overrides(until=5, closed=True, withdrawn=True)
    assert "PREEMPT = True\n" in changed
    assert "WANT_HOLD = False\n" in changed


def test_a_slot_is_of_the_size_that_was_found(values: dict[str, str]) -> None:
    assert (values["NUM_CPUS"], values["MEMORY"], values["DISK"]) == ("4", "4000", "2048")


@pytest.mark.parametrize(("value", "text"), [(True, "True"), (7, "7"), ("a b", '"a b"'), ('q"', '"q\\""')])
def test_values_become_literals(value: bool | int | str, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize("value", ["a\nALLOW_ADMINISTRATOR = *", "tail\\", "\0"])
def test_text_that_could_become_configuration_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="backslash or control character"):
        literal(value)


def test_no_value_begins_another_setting() -> None:
    with pytest.raises(ValueError, match="control character in LOCAL_DIR"):
        render({"LOCAL_DIR": "/scratch/a\nMASTER = /tmp/evil"})


def test_a_value_expands_no_macro() -> None:
    assert render({"X": literal("$(SEC_PASSWORD_FILE)")}) == 'X = "$(DOLLAR)(SEC_PASSWORD_FILE)"\n'


def test_strangers_are_refused_only_while_the_negotiator_serves_home_work() -> None:
    expression = classad2.ExprTree(HOME_FIRST)
    slot = classad2.ClassAd({"FallowCentre": "north"})

    def admits(**job: object) -> bool:
        return expression.eval(slot, classad2.ClassAd(job)) is True

    assert admits(FallowUserCentre="north", SubmitterAutoregroup=False)
    assert not admits(FallowUserCentre="south", SubmitterAutoregroup=False)
    assert admits(FallowUserCentre="south", SubmitterAutoregroup=True)
    assert admits(FallowUserCentre="south")


@pytest.mark.parametrize(
    ("holder", "worklife_s"),
    [("north.alice@fallow.test", 30), ("south.bob@fallow.test", 0), ("northern.eve@x", 0)],
)
def test_a_strangers_claim_ends_with_its_job(values: dict[str, str], holder: str, worklife_s: int) -> None:
    slot = classad2.ClassAd({"FallowCentre": "north", "RemoteOwner": holder})

    assert classad2.ExprTree(values["CLAIM_WORKLIFE"]).eval(slot) == worklife_s
