"""Names of users and pilots: nobody can become somebody else."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from fallow_matcher.gateway.s3 import user_bucket
from fallow_matcher.identities import centre_of, pilot_identity, user_identity, user_name

HOME = "https://iam.example.org"
subjects = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
issuers = st.sampled_from([HOME, "https://a.example.org", "https://b.example.org"])
centres = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True)


def test_the_home_issuers_users_keep_their_name() -> None:
    assert user_name(HOME, "alice", plain_names_issuer=HOME) == "alice"


def test_another_issuers_user_of_the_same_name_is_somebody_else() -> None:
    name = user_name("https://a.example.org", "alice", plain_names_issuer=HOME)
    assert re.fullmatch("alice-[0-9a-f]{16}", name)


def test_a_subject_that_imitates_another_users_digested_name_gets_a_digest_itself() -> None:
    imitated = user_name("https://a.example.org", "alice", plain_names_issuer=HOME)
    assert user_name(HOME, imitated, plain_names_issuer=HOME) != imitated


@given(issuers, subjects, issuers, subjects)
def test_two_people_never_share_a_name(one_iss: str, one: str, two_iss: str, two: str) -> None:
    names = [user_name(iss, sub, plain_names_issuer=HOME) for iss, sub in ((one_iss, one), (two_iss, two))]
    assert (names[0] == names[1]) == ((one_iss, one) == (two_iss, two))


@given(issuers, subjects, centres)
def test_an_identity_is_safe_and_gives_its_centre_back(issuer: str, subject: str, centre: str) -> None:
    user = user_name(issuer, subject, plain_names_issuer=HOME)
    identity = user_identity(centre, user, "fallow.example.org")
    assert re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9][a-z0-9_-]*@fallow\.example\.org", identity)
    assert centre_of(identity) == centre


@given(centres)
def test_a_pilot_is_never_taken_for_a_user(centre: str) -> None:
    identity = pilot_identity(centre, "fallow.example.org")
    assert "." not in identity.partition("@")[0]
    assert centre_of(identity) == centre


def test_the_hubs_daemons_have_no_centre() -> None:
    assert centre_of("condor@fallow.example.org") is None


@given(st.from_regex(r"[a-z][a-z0-9-]{0,62}\.[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True))
def test_every_user_gets_a_bucket_name_that_s3_takes(user: str) -> None:
    assert re.fullmatch(r"fallow-[a-z0-9-]{1,55}[a-z0-9]", user_bucket("fallow", user))
