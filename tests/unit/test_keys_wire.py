"""The layout of keys in Redis: one cluster slot per key, no cache in another's way."""

import fnmatch

import pytest
from redis.crc import key_slot

from routecache import keys


def test_values_leases_and_tags_stand_where_the_design_says() -> None:
    assert keys.value_key("routing:model", "k") == "routing:model:v1:{k}"
    assert keys.lease_key("routing:model", "k") == "routing:model:lease:{k}"
    assert keys.tag_key("routing:model", "provider:openai") == "routing:model:tag:provider:openai"


BRACED = ("k", "a}b", "a{b}c", "{a}", "{", "}", "}{", "}}", "}x", "\0", "\0x", "\0}", "\0\0}")


@pytest.mark.parametrize("key", BRACED)
def test_a_value_and_its_lease_share_a_slot_whatever_braces_the_key_holds(key: str) -> None:
    value, lease = keys.value_key("p", key), keys.lease_key("p", key)
    assert key_slot(value.encode()) == key_slot(lease.encode())


def test_every_key_is_found_again_in_a_spelling_of_its_own() -> None:
    spelt = [keys.value_key("p", key) for key in BRACED]
    assert len(set(spelt)) == len(BRACED)
    assert [keys.key_of("p", wire_key) for wire_key in spelt] == list(BRACED)


@pytest.mark.parametrize("inner", ["routing:provider", "routing:v1", "routing:tag", "routing.x"])
def test_the_patterns_of_one_cache_match_no_key_of_another(inner: str) -> None:
    patterns = [keys.value_pattern("routing"), keys.lease_pattern("routing")]
    for key in (keys.value_key(inner, "k"), keys.lease_key(inner, "k")):
        assert not any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)
    assert fnmatch.fnmatchcase(keys.value_key("routing", "k"), patterns[0])


@pytest.mark.parametrize("bad", ["", "a b", "a*", "é", "a{b}", "a\n", None, 1])
def test_a_prefix_that_could_match_other_keys_is_refused(bad: object) -> None:
    with pytest.raises((ValueError, TypeError), match="prefix"):
        keys.check_prefix(bad)
