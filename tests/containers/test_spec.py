"""The declaration of a testbed."""

from pathlib import Path

import pytest

from fallow.errors import SettingsError
from fallow.settings import load, parse
from fallow_testbed.centre import policy_toml
from fallow_testbed.pool import condor_config
from fallow_testbed.slurm import slurm_conf
from fallow_testbed.spec import DEFAULT, Centre, Federation, PilotPolicy


def test_the_demo_declares_three_centres_of_different_size() -> None:
    spec = load(Federation, DEFAULT)
    sizes = {name: centre.nodes * centre.cores for name, centre in spec.centres.items()}
    assert list(sizes) == ["alder", "birch", "cedar"]
    assert len(set(sizes.values())) == 3


def test_every_host_has_an_address_of_its_own() -> None:
    spec = parse(Federation, {"centres": {"oak": {"nodes": 9}, "elm": {"nodes": 9}}}, source="test")
    addresses = spec.addresses()
    assert len(set(addresses.values())) == len(addresses) == 2 + 2 * 10


@pytest.mark.parametrize(
    ("declared", "host", "reached"),
    [
        ({}, "oak-1", None),
        ({"nodes_reach": "login"}, "oak-1", ["oak"]),
        ({"edge": "proxy"}, "oak-1", ["oak", "oak-edge", "oak-2"]),
        ({"edge": "proxy"}, "oak", ["oak-edge", "oak-1", "oak-2"]),
        ({"edge": "proxy", "nodes_reach": "login"}, "oak-1", ["oak"]),
        ({"edge": "ssh", "nodes_reach": "login"}, "oak-edge", None),
        ({"edge": "proxy"}, "hub", None),
    ],
)
def test_a_closed_centre_reaches_what_is_declared(
    declared: dict[str, object], host: str, reached: list[str] | None
) -> None:
    spec = parse(Federation, {"centres": {"oak": {"nodes": 2, **declared}}}, source="test")
    addresses = spec.addresses()
    assert spec.reach(host) == (None if reached is None else [addresses[name] for name in reached])


@pytest.mark.parametrize(
    ("declared", "lines"),
    [
        ({"edge": "proxy"}, ['profile = "proxy"', 'proxy = "http://oak-edge:3128"']),
        ({"edge": "proxy", "nodes_reach": "login"}, ['profile = "relay"', 'proxy = "http://oak-edge:3128"']),
        ({"edge": "ssh", "nodes_reach": "login"}, ['profile = "relay"', "attached = true"]),
        ({"cvmfs": "hangs"}, ['cvmfs = ["software.eessi.io"]']),
    ],
)
def test_the_policy_of_a_closed_centre_names_its_way_out(
    declared: dict[str, object], lines: list[str]
) -> None:
    assert set(lines) <= set(policy_toml("oak", Centre.model_validate(declared)).splitlines())


def test_a_node_belongs_to_its_centre_and_the_hub_to_none() -> None:
    spec = load(Federation, DEFAULT)
    assert [spec.centre_of(host) for host in ("alder", "alder-2", "hub", "desk")] == [
        "alder",
        "alder",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"centres": {}}, "at least 1 item"),
        ({"centres": {"hub": {}}}, "a centre cannot be called 'hub'"),
        ({"centres": {"Big Iron": {}}}, "String should match pattern"),
        ({"centres": {"oak": {"nodes": 0}}}, "centres.oak.nodes: Input should be greater than or equal to 1"),
        (
            {"centres": {"oak": {"edge": "ssh"}}},
            "edge = ssh contradicts nodes_reach = everything",
        ),
        ({"centres": {"oak": {"colour": "green"}}}, "centres.oak.colour: Extra inputs are not permitted"),
        (
            {"centres": {"oak": {}}, "users": {"eve": {"centre": "elm"}}},
            "'eve' belongs to centre 'elm', which is not declared",
        ),
    ],
)
def test_a_wrong_declaration_is_refused_with_the_place(document: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(Federation, document, source="federation.toml")
    assert "federation.toml" in str(caught.value)
    assert complaint in str(caught.value)


def test_a_declaration_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[centres")
    with pytest.raises(SettingsError, match="is not valid TOML"):
        load(Federation, file)


def test_slurm_preempts_the_spare_partition_for_the_main_one() -> None:
    text = slurm_conf("oak", Centre(nodes=3, cores=8, memory_mb=4000))
    assert "NodeName=oak-[1-3] CPUs=8 RealMemory=4000" in text
    main, spare = (line for line in text.splitlines() if line.startswith("PartitionName="))
    assert "PriorityTier=10 PreemptMode=OFF" in main
    assert "PriorityTier=1 PreemptMode=CANCEL" in spare


def test_a_centre_with_a_pool_has_slots_as_large_as_its_pilots() -> None:
    centre = Centre(batch="htcondor", cores=8, memory_mb=8000, pilots=PilotPolicy(cores=2))
    node = condor_config("oak", centre, login=False).splitlines()
    assert {"NUM_SLOTS_TYPE_1 = 4", "SLOT_TYPE_1 = cpus=2, memory=2000, disk=auto"} <= set(node)
    assert "DAEMON_LIST = MASTER, STARTD" in node
    assert "DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD" in condor_config("oak", centre, login=True)


def test_a_centres_policy_names_its_batch_system() -> None:
    assert 'system = "htcondor"' in policy_toml("oak", Centre(batch="htcondor"))
    assert 'system = "slurm"' in policy_toml("oak", Centre())
