from __future__ import annotations

from pathlib import Path

import pytest

from fallow.errors import NotAvailableError
from fallow_testbed.images import debian, mirror
from fallow_testbed.images.definition import Debian
from fallow_testbed.images.mirror import Mirror, choose_mirror, transport_options

TARGETS = """\
http://one.example/tools/|bookworm|main|Tools|Packages
http://two.example/debian-security/|bookworm-security|main|Debian-Security|Packages
http://three.example/debian/|bookworm|main|Debian|Packages
http://three.example/debian/|bookworm-updates|main|Debian|Packages
http://three.example/debian/|bookworm|non-free|Debian|Packages
"""


def test_the_mirror_is_the_one_of_debians_own_release_not_of_security_or_others() -> None:
    assert choose_mirror(TARGETS, "bookworm") == "http://three.example/debian"


def test_the_mirror_is_found_before_the_first_update_when_labels_are_unknown() -> None:
    assert choose_mirror("http://x.example/debian/|bookworm|main||Packages\n", "bookworm") == (
        "http://x.example/debian"
    )


def test_a_machine_without_a_debian_mirror_has_none() -> None:
    assert choose_mirror("http://x.example/ubuntu/|noble|main|Ubuntu|Packages\n", "noble") is None


def test_no_mirror_is_told_with_the_variable_that_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FALLOW_DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr(mirror, "_ask", lambda *argv: "")
    with pytest.raises(NotAvailableError, match=r"not set up for a Debian mirror\. Set FALLOW_DEBIAN_MIRROR"):
        mirror.find_mirror()


def test_a_named_mirror_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALLOW_DEBIAN_MIRROR", "http://named.example/debian")
    assert mirror.find_mirror().uri == "http://named.example/debian"


def test_a_list_of_mirrors_in_a_file_gives_its_first(tmp_path: Path) -> None:
    listing = tmp_path / "debian.list"
    listing.write_text("# mine\nhttp://first.example/debian/ priority:1\nhttp://second.example/debian\n")
    assert mirror._first_of_list(f"mirror+file:{listing}") == "http://first.example/debian"


def test_proxies_and_certificates_of_apt_are_kept_and_nothing_that_weakens_it() -> None:
    kept = transport_options(
        'Acquire::http::Proxy "http://user:secret@proxy.example:3128";\n'
        'Acquire::https::CaInfo "/etc/ssl/own.pem";\n'
        'Acquire::AllowInsecureRepositories "true";\n'
        'APT::Get::AllowUnauthenticated "true";\n'
        'Acquire::http "";\n'
    )
    assert kept == (
        'Acquire::http::Proxy "http://user:secret@proxy.example:3128";\n'
        'Acquire::https::CaInfo "/etc/ssl/own.pem";\n'
    )


def test_the_password_of_a_proxy_is_not_on_the_command_line(tmp_path: Path) -> None:
    wanted = Debian(suites=("trixie",), packages=("bwa",))
    secret = Mirror("http://m.example/debian", 'Acquire::http::Proxy "http://u:secret@p.example";\n')
    argv = debian.command(wanted, tmp_path, secret, tmp_path / "apt.conf", None)
    assert not any("secret" in word for word in argv)


@pytest.mark.parametrize(
    "said",
    [
        "E: Failed to fetch http://m.example/x  Could not connect to m.example:80 (1.2.3.4). - connect (111)",
        "Err:1 http://m.example trixie InRelease\n  Temporary failure resolving 'm.example'",
        "W: Failed to fetch http://m.example/debian/dists  Could not resolve 'm.example'",
    ],
)
def test_a_mirror_that_does_not_answer_is_told_in_one_sentence(said: str) -> None:
    error = debian.explain(said, "http://m.example/debian", Path("log"))
    assert isinstance(error, NotAvailableError)
    assert str(error).startswith("The Debian mirror http://m.example/debian does not answer: ")
    assert "\n" not in str(error)


def test_a_package_that_does_not_exist_is_told_with_apts_own_words() -> None:
    error = debian.explain("E: Unable to locate package nosuch\nE: apt-get failed", "m", Path("/logs/x.log"))
    assert str(error) == (
        "mmdebstrap failed: Unable to locate package nosuch. All that it said is in /logs/x.log."
    )
