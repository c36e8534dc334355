"""Keys of calls: the same for the same call however it is written, different for any other."""

import inspect
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from routecache.decorating.calls import CallKeys

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.sampled_from(["a", "b", "c", "d", "rest", "named", "self"])


def no_parameter() -> None: ...
def two(a: Any, b: Any = 1) -> None: ...
def by_name(a: Any, *, b: Any, c: Any = None) -> None: ...
def by_place(a: Any, b: Any = 2, /, c: Any = 3) -> None: ...
def rest(a: Any, *rest: Any) -> None: ...
def named(a: Any = 0, **named: Any) -> None: ...
def everything(a: Any, /, b: Any = 1, *rest: Any, c: Any, d: Any = 2, **named: Any) -> None: ...


shapes = st.sampled_from([no_parameter, two, by_name, by_place, rest, named, everything])


@given(shapes, st.lists(plain, max_size=4), st.dictionaries(names, plain, max_size=4))
def test_arguments_find_their_parameters_as_in_a_call(
    function: Callable[..., None], args: list[Any], kwargs: dict[str, Any]
) -> None:
    keys = CallKeys(function)
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        try:
            keys.key(tuple(args), kwargs)
        except TypeError:
            return
        raise AssertionError("the call would have raised") from None
    bound.apply_defaults()
    assert keys.arguments(tuple(args), kwargs) == bound.arguments


@given(plain, plain, plain, st.permutations(["a", "b", "c"]), st.integers(0, 3))
def test_how_a_call_is_written_plays_no_part(
    a: Any, b: Any, c: Any, order: list[str], positional: int
) -> None:
    def function(a: Any, b: Any, c: Any, d: Any = "default") -> None: ...

    keys = CallKeys(function)
    values = {"a": a, "b": b, "c": c}
    args = tuple(list(values.values())[:positional])
    kwargs = {name: values[name] for name in order if name not in list(values)[:positional]}
    key = keys.key((a, b, c), {})
    assert keys.key(args, kwargs) == key
    assert keys.key(args, {**kwargs, "d": "default"}) == key


@given(st.tuples(plain, plain), st.tuples(plain, plain))
def test_two_calls_share_a_key_only_if_they_are_the_same(one: Any, other: Any) -> None:
    keys = CallKeys(two)
    # JSON tells apart what a key must: 1, 1.0, True and "1"; -0.0 and 0.0.
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (keys.key(one, {}) == keys.key(other, {})) is same


@given(plain, st.sampled_from([None, 1, 2, "2a"]), st.sampled_from(["f", "f.g", "g"]))
def test_keys_of_other_names_and_versions_are_others(a: Any, version: Any, name: str) -> None:
    mine = CallKeys(rest, name="f", version=1).key((a,), {})
    assert (CallKeys(rest, name=name, version=version).key((a,), {}) == mine) is (
        (name, version) == ("f", 1)
    )


@given(st.text(min_size=1, max_size=40), plain)
def test_a_text_of_a_key_function_is_never_the_digest_of_arguments(text: str, a: Any) -> None:
    by_text = CallKeys(rest, name="f", key=lambda a: text)
    by_digest = CallKeys(rest, name="f")
    assert by_text.key((a,), {}) == f"f:{text}"
    assert by_text.key((a,), {}) != by_digest.key((a,), {})
