"""The layout of keys in Redis: one cluster slot per key, no cache in another's way."""

import fnmatch

import pytest

from routecache import keys


def test_values_leases_and_tags_stand_where_the_design_says() -> None:
    assert keys.value_key("routing:model", "k") == "routing:model:v1:{k}"
    assert keys.lease_key("routing:model", "k") == "routing:model:lease:{k}"
    assert keys.tag_key("routing:model", "provider:openai") == "routing:model:tag:provider:openai"


def test_a_value_and_its_lease_share_a_hash_tag() -> None:
    def hash_tag(key: str) -> str:
        return key[key.index("{") + 1 : key.index("}")]

    for key in ("k", "a}b", "a{b}c", "}{"):
        value, lease = keys.value_key("p", key), keys.lease_key("p", key)
        assert hash_tag(value) == hash_tag(lease)


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
