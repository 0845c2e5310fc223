from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fallow.errors import SettingsError, UsageError
from fallow_testbed.images.builder import Builder
from fallow_testbed.images.cache import ImageCache
from fallow_testbed.images.catalogue import Catalogue
from fallow_testbed.images.checkout import find_checkout
from fallow_testbed.images.definition import read_definitions

Make = Callable[[], Builder]


def images(checkout: Path) -> Path:
    return checkout / "containers" / "images"


def digest(make: Make, name: str) -> str:
    return make().catalogue.digest(name)


def test_a_digest_stays_when_nothing_changes(builder: Make) -> None:
    assert digest(builder, "rootfs") == digest(builder, "rootfs")


def test_a_digest_changes_with_the_content_of_any_file_of_the_definition(
    builder: Make, checkout: Path
) -> None:
    before = digest(builder, "rootfs")
    (images(checkout) / "rootfs" / "finish.sh").write_text("true\n")
    between = digest(builder, "rootfs")
    (images(checkout) / "rootfs" / "finish.sh").write_text("false\n")
    assert len({before, between, digest(builder, "rootfs")}) == 3


def test_a_digest_changes_when_a_file_becomes_runnable(builder: Make, checkout: Path) -> None:
    script = images(checkout) / "rootfs" / "finish.sh"
    script.write_text("true\n")
    script.chmod(0o644)
    before = digest(builder, "rootfs")
    script.chmod(0o755)
    assert digest(builder, "rootfs") != before


def test_a_digest_changes_with_that_of_the_image_it_builds_on(builder: Make, checkout: Path) -> None:
    before = digest(builder, "second")
    (images(checkout) / "rootfs" / "finish.sh").write_text("true\n")
    assert digest(builder, "second") != before


def test_a_digest_changes_with_the_pinned_packages(builder: Make, checkout: Path) -> None:
    definition = images(checkout) / "second" / "definition.toml"
    definition.write_text(
        definition.read_text()
        + '[python]\nversion = "3.13"\ninterpreter = "python3"\nrequirements = "some.txt"\n'
    )
    pinned = checkout / "requirements" / "some.txt"
    pinned.parent.mkdir()
    pinned.write_text("a==1\n")
    before = digest(builder, "second")
    pinned.write_text("a==2\n")
    assert digest(builder, "second") != before


def test_a_digest_changes_with_the_source_of_a_part_but_not_with_its_caches(
    builder: Make, checkout: Path
) -> None:
    definition = images(checkout) / "second" / "definition.toml"
    definition.write_text(
        definition.read_text() + '[python]\nversion = "3.13"\ninterpreter = "python3"\nparts = ["part"]\n'
    )
    source = checkout / "part" / "src" / "module.py"
    source.parent.mkdir(parents=True)
    source.write_text("x = 1\n")
    before = digest(builder, "second")
    compiled = source.parent / "__pycache__" / "module.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"anything")
    assert digest(builder, "second") == before
    source.write_text("x = 2\n")
    assert digest(builder, "second") != before


def test_a_definition_with_two_starts_is_refused_by_name(checkout: Path) -> None:
    definition = images(checkout) / "rootfs" / "definition.toml"
    definition.write_text('base = "second"\n' + definition.read_text())
    with pytest.raises(SettingsError, match=r"rootfs/definition.toml: .*exactly one of base, over, debian"):
        read_definitions(images(checkout))


def test_a_definition_on_an_image_that_nobody_defines_is_refused(checkout: Path) -> None:
    (images(checkout) / "second" / "definition.toml").write_text(
        'summary = "x"\ndisk_mb = 1\nover = "gone"\n'
    )
    with pytest.raises(SettingsError, match="The image second builds on gone, which has no definition"):
        read_definitions(images(checkout))


def test_an_image_that_does_not_exist_is_refused_with_those_that_do(builder: Make) -> None:
    with pytest.raises(UsageError, match=r"There is no image 'third'\. There are rootfs, second\."):
        builder().ensure(["third"])


def test_the_definitions_of_this_project_fit_and_name_files_that_exist(tmp_path: Path) -> None:
    catalogue = Catalogue(find_checkout(), ImageCache(tmp_path))
    assert {"rootfs", "deps", "parts", "worker", "analysis", "demo-data"} <= set(catalogue.definitions)
    assert all(len(catalogue.digest(name)) == 64 for name in catalogue.definitions)


def test_what_must_be_built_comes_in_an_order_that_can_be_built(tmp_path: Path) -> None:
    catalogue = Catalogue(find_checkout(), ImageCache(tmp_path))
    assert catalogue.missing(["parts", "worker"]) == ["rootfs", "deps", "parts", "worker-base", "worker"]
