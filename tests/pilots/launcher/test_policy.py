"""The site admin's file: strict, documented, and without contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fallow.documented import Documented
from fallow.errors import SettingsError
from fallow.settings import parse
from fallow_pilots.policy import DEFAULT_PATH, Policy, policy_path, read_policy

Policies = Callable[..., Policy]
Table = Callable[..., dict[str, Any]]


def refusal(table: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(Policy, table, source="policy.toml")
    return str(caught.value)


def test_a_policy_needs_only_what_cannot_be_guessed(table_of: Table) -> None:
    table = table_of()
    shape = {"cores": 1, "memory_mb": 1000}
    policy = parse(Policy, {**table, "pilot": shape, "limits": {"max_pilots": 1}, "backoff": {}}, source="t")
    assert policy.batch.system == "slurm"
    assert policy.image_store_dir == policy.state_dir / "images"


@pytest.mark.parametrize(
    "table", ["identity", "batch", "pilot", "limits", "when", "conditions", "assume", "backoff"]
)
def test_an_unknown_name_is_refused_with_its_place(table_of: Table, table: str) -> None:
    assert f"{table}.max_plots: Extra inputs" in refusal(table_of(**{table: {"max_plots": 1}}))


def test_images_are_fetched_before_jobs_come_only_where_a_pilot_reads_the_store(policy_of: Policies) -> None:
    people = lent("ann")
    assert [
        policy_of(accounts=people).prefetches,
        policy_of(accounts={**people, "launcher_too": True}).prefetches,
        policy_of(accounts=people, assume={"image_store_dir": "/shared/images"}).prefetches,
        policy_of(assume={"image_prefetch": False}).prefetches,
    ] == [False, True, True, False]


def test_the_policy_shown_to_site_admins_is_valid(tmp_path: Path) -> None:
    readme = Path(__file__).parents[3] / "pilots" / "README.md"
    path = tmp_path / "policy.toml"
    path.write_text(readme.read_text().split("```toml\n")[1].split("```")[0])
    assert read_policy(path).when.queue_below == 10


def documented(model: type[Documented]) -> Iterator[tuple[str, bool]]:
    told = model.meanings()
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}", name in told
        if isinstance(field.annotation, type) and issubclass(field.annotation, Documented):
            yield from documented(field.annotation)


def test_every_field_is_documented() -> None:
    assert [name for name, there in documented(Policy) if not there] == []


def lent(*people: str, **values: str) -> dict[str, Any]:
    """The table `accounts` with these people."""
    return {"people": [{"account": name, **values} for name in people], "become": ["sudo", "-u", "{account}"]}


@pytest.mark.parametrize(
    ("tables", "first", "second"),
    [
        ({"limits": {"max_cores": 3}}, "limits.max_cores = 3", "pilot.cores = 4"),
        (
            {"accounts": {"people": [{"account": "ann"}]}},
            "accounts.people",
            "accounts.become: it has no {account}",
        ),
        (
            {
                "assume": {
                    "cvmfs": ["atlas.cern.ch"],
                    "cvmfs_copies": [{"repository": "cms.cern.ch", "directory": "/apps/cms"}],
                }
            },
            "assume.cvmfs",
            "assume.cvmfs_copies",
        ),
        (
            {"assume": {"cvmfs_copies": [{"repository": "cms.cern.ch", "directory": "/etc"}]}},
            "assume.cvmfs_copies in /etc",
            "identity.token_file = /etc/fallow/token",
        ),
        ({"accounts": lent("ann", "ann")}, "accounts.people", "ann more than once"),
        (
            {"accounts": lent("ann"), "network": {"profile": "files"}},
            "accounts.people",
            'network.profile = "files"',
        ),
        (
            {"accounts": lent("ann"), "assume": {"node_command": "/opt/node"}},
            "accounts.people",
            "assume.node_command = /opt/node",
        ),
        (
            {"accounts": lent("ann"), "when": {"only_backfill": True}},
            "when.only_backfill",
            "accounts.launcher_too = false",
        ),
        (
            {"accounts": lent("ann", batch_account="proteins"), "batch": {"system": "fork"}},
            "batch_account of ann",
            'batch.system = "fork"',
        ),
        ({"limits": {"max_gpus": 1}, "pilot": {"gpus": 2}}, "limits.max_gpus = 1", "pilot.gpus = 2"),
        (
            {"limits": {"core_hours_per_day": 3.5}},
            "limits.core_hours_per_day = 3.5",
            "pilot.walltime_s = 3600",
        ),
        ({"pilot": {"min_walltime_s": 3601}}, "pilot.min_walltime_s = 3601", "pilot.walltime_s = 3600"),
        (
            {"pilot": {"idle_exit_s": 3600}, "backoff": {"fizzle_s": 4000}},
            "pilot.idle_exit_s = 3600",
            "walltime_s",
        ),
        ({"pilot": {"drain_grace_s": 300}}, "pilot.drain_grace_s = 300", "pilot.min_walltime_s = 300"),
        ({"backoff": {"fizzle_s": 60}}, "backoff.fizzle_s = 60", "pilot.idle_exit_s = 60"),
        ({"conditions": {"max_job_s": 9999}}, "conditions.max_job_s = 9999", "pilot.walltime_s = 3600"),
        ({"conditions": {"centres": ["birch"], "refused_centres": ["birch"]}}, "conditions.centres", "birch"),
        ({"batch": {"system": "fork", "partition": "spare"}}, 'batch.system = "fork"', "batch.partition"),
        ({"when": {"queue_partitions": ["main"]}}, "when.queue_partitions", "when.queue_below"),
        ({"when": {"node_idle_s": 60, "only_idle_nodes": False}}, "when.node_idle_s", "when.only_idle_nodes"),
        ({"when": {"windows": [{"start": "08:00", "end": "08:00"}]}}, "start = 08:00", "end = 08:00"),
        (
            {"when": {"windows": [{"start": "08:00", "end": "08:04"}]}},
            "when.windows are open for 240 s at most",
            "pilot.min_walltime_s = 300",
        ),
        ({"pilot": {"nodes": 2}, "batch": {"system": "htcondor"}}, "pilot.nodes", "batch.system"),
        (
            {
                "when": {"queue_below": 5, "queue_partitions": ["main"]},
                "batch": {"system": "htcondor"},
            },
            "when.queue_partitions",
            "batch.system",
        ),
        ({"batch": {"system": "pbs", "qos": "low"}}, "batch.qos", 'batch.system = "pbs"'),
        (
            {"batch": {"features": ["ssd"], "options": ["--constraint=ssd"]}},
            "batch.features",
            "--constraint",
        ),
        (
            {"when": {"only_backfill": True}, "batch": {"system": "fork"}},
            "when.only_backfill",
            'batch.system = "fork"',
        ),
        (
            {"when": {"only_backfill": True}, "pilot": {"other_shapes": [{"cores": 8, "memory_mb": 999}]}},
            "when.only_backfill",
            "pilot.other_shapes",
        ),
        (
            {"limits": {"max_cores": 6}, "pilot": {"other_shapes": [{"cores": 8, "memory_mb": 999}]}},
            "limits.max_cores = 6",
            "pilot.other_shapes.0.cores = 8",
        ),
        ({"limits": {"max_cores": 6}, "pilot": {"nodes": 2}}, "limits.max_cores = 6", "pilot.nodes = 2"),
        ({"limits": {"max_nodes": 1}, "pilot": {"nodes": 2}}, "limits.max_nodes = 1", "pilot.nodes = 2"),
        ({"pilot": {"gpu_model": "a100"}}, "gpu_model = a100", "gpus = 0"),
        ({"conditions": {"gpu_models": ["NVIDIA A100"]}}, "conditions.gpu_models", "pilot.gpus = 0"),
        ({"conditions": {"max_job_s": 3571}}, "conditions.max_job_s = 3571", "pilot.drain_grace_s = 30"),
        (
            {"conditions": {"work_types": ["test"], "refused_work_types": ["test"]}},
            "conditions.work_types",
            "conditions.refused_work_types",
        ),
        (
            {"conditions": {"projects": ["genomes"], "refused_projects": ["genomes"]}},
            "conditions.projects",
            "conditions.refused_projects",
        ),
    ],
)
def test_contradictory_clauses_are_refused_with_both_named(
    table_of: Table, tables: dict[str, Any], first: str, second: str
) -> None:
    said = refusal(table_of(**tables))
    assert first in said
    assert second in said


def test_all_contradictions_are_said_at_once(table_of: Table) -> None:
    said = refusal(table_of(limits={"max_cores": 3}, backoff={"fizzle_s": 60}))
    assert "limits.max_cores = 3" in said
    assert "backoff.fizzle_s = 60" in said


@pytest.mark.parametrize(
    "clause", ["max_pilots", "max_nodes", "max_cores", "max_gpus", "share_of_idle", "core_hours_per_day"]
)
def test_any_cap_may_be_zero(policy_of: Policies, clause: str) -> None:
    policy = policy_of(limits={clause: 0}, pilot={"gpus": 2, "nodes": 2})
    assert getattr(policy.limits, clause) == 0


@pytest.mark.parametrize(
    "image",
    [
        "docker://registry.example.org/tools/",
        "oras://registry.example.org",
        'oras://registry.example.org/a"b/',
        "oras://registry.example.org/$(X)/",
        "sha256:12",
        "oras://user@registry.example.org/tools/",
    ],
)
def test_an_image_is_a_digest_or_a_registry(table_of: Table, image: str) -> None:
    assert "conditions.images.0" in refusal(table_of(conditions={"images": [image]}))


def test_shapes_come_largest_first(policy_of: Policies) -> None:
    other = [{"cores": 8, "memory_mb": 999}, {"cores": 2, "memory_mb": 999, "gpus": 1}]
    policy = policy_of(pilot={"other_shapes": other})
    assert [(shape.gpus, shape.cores) for shape in policy.pilot.shapes] == [(1, 2), (0, 8), (0, 4)]


def test_a_cap_of_zero_is_a_way_to_give_nothing_and_no_contradiction(
    policy_of: Policies,
) -> None:
    policy = policy_of(limits={"max_pilots": 0, "max_cores": 0, "max_nodes": 0, "core_hours_per_day": 0})
    assert policy.limits.max_cores == 0


@pytest.mark.parametrize(
    "option",
    [
        "--partition=main",
        "--export=ALL",
        "--wrap=id",
        "--constraint=$(id)",
        "--constraint=a b",
        "--nice=1\n--export=ALL",
        "-p",
        "job.sh",
    ],
)
def test_only_harmless_options_reach_sbatch(table_of: Table, option: str) -> None:
    assert "batch.options.0" in refusal(table_of(batch={"options": [option]}))


@pytest.mark.parametrize("name", ["--wrap=id", "a b", "", "spare\nmain", "spare;id"])
def test_a_partition_cannot_look_like_an_option(table_of: Table, name: str) -> None:
    assert "batch.partition" in refusal(table_of(batch={"partition": name}))


def test_an_unknown_time_zone_is_refused(table_of: Table) -> None:
    assert "'Mars/Olympus' is not a known time zone" in refusal(table_of(when={"time_zone": "Mars/Olympus"}))


@pytest.mark.parametrize("url", ["http://hub.example.org", "https://hub.example.org/path?x", "hub"])
def test_the_hub_is_named_by_an_https_url(table_of: Table, url: str) -> None:
    assert "identity.hub" in refusal(table_of(identity={"hub": url}))


def test_paths_are_absolute(table_of: Table) -> None:
    assert "state is not an absolute path" in refusal(table_of("state"))


def test_the_environment_names_the_policy_unless_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FALLOW_POLICY", raising=False)
    assert policy_path() == DEFAULT_PATH
    monkeypatch.setenv("FALLOW_POLICY", "/srv/a.toml")
    assert policy_path() == Path("/srv/a.toml")
    assert policy_path(Path("b.toml")) == Path("b.toml")


def test_a_missing_policy_is_said_with_the_ways_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no policy at .* with --policy or \$FALLOW_POLICY"):
        read_policy(tmp_path / "policy.toml")
