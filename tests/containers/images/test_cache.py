from __future__ import annotations

import os
from pathlib import Path

import pytest

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images.cache import ImageCache, cache_root

DIGEST = "ab" * 32


def publish(cache: ImageCache, name: str = "some") -> None:
    with cache.lock(name), cache.staging(name) as staged:
        (staged / "tree").mkdir()
        cache.publish(staged, name, DIGEST, kind="tree", size=7)


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FALLOW_CACHE", raising=False)
    assert cache_root() == tmp_path / "fallow"
    monkeypatch.setenv("FALLOW_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"


def test_a_published_image_is_found_again(cache: ImageCache) -> None:
    publish(cache)
    found = cache.find("some", DIGEST)
    assert found is not None
    assert (found.path.name, found.kind, found.bytes) == ("some-abababababab", "tree", 7)
    assert found.tree.is_dir()


def test_a_build_that_fails_leaves_nothing(cache: ImageCache) -> None:
    def fail() -> None:
        with cache.lock("some"), cache.staging("some") as staged:
            (staged / "file").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in cache.images.iterdir()] == [".lock-some"]


def test_what_an_interrupted_build_left_is_no_image_and_goes_at_the_next_start(cache: ImageCache) -> None:
    left = cache.images / ".building-some.x"
    (left / "tree" / "etc").mkdir(parents=True)
    assert cache.all() == []
    with cache.lock("some"):
        assert not left.exists()


def test_what_another_image_has_under_way_is_left_alone(cache: ImageCache) -> None:
    other = cache.images / ".building-some-base.x"
    other.mkdir(parents=True)
    with cache.lock("some"):
        assert other.exists()


def test_a_directory_without_a_record_is_no_image(cache: ImageCache) -> None:
    cache.path("some", DIGEST).mkdir(parents=True)
    assert cache.find("some", DIGEST) is None


def test_a_removed_image_is_gone(cache: ImageCache) -> None:
    publish(cache)
    with cache.lock("some"):
        cache.remove(cache.all()[0])
    assert [path.name for path in cache.images.iterdir()] == [".lock-some"]


def test_too_little_disk_space_is_told_with_both_numbers(cache: ImageCache) -> None:
    cache.images.mkdir(parents=True)
    with pytest.raises(FallowError, match=r"has \d+ MB free and the image x needs 999999999 MB\. Make space"):
        cache.require_space(999_999_999, "the image x")


def test_a_cache_that_cannot_be_written_is_told_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ImageCache(tmp_path / "file")
    with pytest.raises(NotAvailableError, match=r"cannot be written: Not a directory\. .*FALLOW_CACHE"):
        cache.lock("some").__enter__()


def test_a_second_process_is_told_that_it_waits(cache: ImageCache) -> None:
    told: list[int] = []
    with cache.lock("some"):
        pid = os.fork()
        if pid == 0:
            with cache.lock("some", lambda: os._exit(7)):
                os._exit(0)
        told.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    assert told == [7]


def test_the_log_of_a_failed_build_stays_until_the_next(cache: ImageCache) -> None:
    with cache.lock("some"):
        cache.log("some", DIGEST).write_text("what went wrong")
    assert cache.log("some", DIGEST).exists()
    with cache.lock("some-base"):
        assert cache.log("some", DIGEST).exists()
    with cache.lock("some"):
        assert not cache.log("some", DIGEST).exists()
