from random import Random

from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_fallow.keys import Ended, Identity, digest, lasting, target_of

words = st.text(st.characters(codec="ascii", exclude_characters="-"), min_size=1, max_size=8)
options = st.lists(st.tuples(words.map("--{}".format), st.lists(words, max_size=3)), max_size=6)


def flat(given: list[tuple[str, list[str]]]) -> list[str]:
    return [word for name, values in given for word in (name, *values)]


@given(options, st.randoms())
def test_the_order_of_options_is_nothing(given: list[tuple[str, list[str]]], random: Random) -> None:
    mixed = list(given)
    random.shuffle(mixed)
    assert lasting(flat(given)) == lasting(flat(mixed))


def test_what_changes_with_the_attempt_or_with_what_is_left_to_do_is_nothing() -> None:
    first = ["--target-jobs", "map:n=1", "--cores", "1", "--attempt", "1", "--unneeded-temp-files", "a", "b"]
    second = ["--target-jobs", "map:n=1", "--cores", "4", "--attempt", "2"]
    assert digest([lasting(first)]) == digest([lasting(second)])
    assert lasting(first) != lasting(["--target-jobs", "map:n=2"])


def test_a_dealt_with_submission_is_followed_by_one_with_another_key() -> None:
    ended, identity = Ended(), Identity("a" * 16, "b" * 16)
    first = ended.next_key(identity)
    assert ended.next_key(identity) == first
    ended.add(first)
    assert ended.next_key(identity) != first
    assert target_of(first) == identity.target
