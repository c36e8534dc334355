"""`cached`: what it makes of functions, methods and coroutine functions, and what it refuses."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from routecache import (
    MISS,
    AsyncCacheManager,
    BaseCacheManager,
    KeyTypeError,
    Policy,
    cached,
)
from routecache.outcomes import NOTE
from routecache.testing import ManualTimer
from tests.decorated import NAME, Calls, GoneError, NotFoundError, NumberedError
from tests.helpers import in_loop


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def calls(request: pytest.FixtureRequest) -> Iterator[Calls]:
    made = Calls(request.param)
    yield made
    made.ask("close")


@pytest.fixture
def price(calls: Calls) -> Any:
    def price(model: str, tokens: int = 1000, *, currency: str = "usd") -> list[Any]:
        calls.arguments.append((model, tokens, currency))
        return [model, tokens, currency]

    return calls.decorate(price)


def test_a_call_is_made_once_and_counted_as_get_or_load_counts(calls: Calls, price: Any) -> None:
    for _ in range(3):
        assert price("gpt-x") == ["gpt-x", 1000, "usd"]
    assert len(calls.arguments) == 1
    stats = calls.stats
    assert (stats["requests"], stats["l1_hits"], stats["loads"]) == (3, 2, 1)


def test_calls_that_mean_the_same_share_an_entry(calls: Calls, price: Any) -> None:
    price("gpt-x")
    price("gpt-x", 1000)
    price(currency="usd", model="gpt-x")
    price(tokens=1000, model="gpt-x", currency="usd")
    assert len(calls.arguments) == 1
    price("gpt-x", 1001)
    price("gpt-x", currency="eur")
    assert len(calls.arguments) == 3


def test_the_helpers_take_the_arguments_of_a_call(calls: Calls, price: Any) -> None:
    price("gpt-x", 5)
    key = price.cache_key("gpt-x", tokens=5)
    assert key.startswith(f"{NAME}#")
    assert calls.ask("get", key) == ["gpt-x", 5, "usd"]
    assert price.cache_invalidate("gpt-x", 5) is True
    assert price.cache_invalidate("gpt-x", 5) is False
    assert calls.ask("get", key, MISS) is MISS
    for n in (1, 2):
        assert price.cache_refresh("gpt-x", 5) == ["gpt-x", 5, "usd"]
        assert len(calls.arguments) == 1 + n
    price("gpt-x", 5)
    assert len(calls.arguments) == 3


def test_arguments_that_the_function_does_not_take_are_refused_as_by_itself(price: Any) -> None:
    for args, kwargs in (
        ((), {}),
        (("a", 1, "usd"), {}),
        (("a",), {"x": 1}),
        (("a",), {"model": 1}),
    ):
        with pytest.raises(TypeError, match=r"price\(\) "):
            price(*args, **kwargs)


def test_an_argument_without_a_canonical_form_is_named(price: Any) -> None:
    with pytest.raises(
        KeyTypeError, match=r"price: argument tokens\[0\] is of type object, .*ignore="
    ):
        price("gpt-x", [object()])


def test_names_and_versions_tell_functions_apart(calls: Calls) -> None:
    def one(n: int) -> str:
        return "one"

    def other(n: int) -> str:
        return "other"

    plain, versioned = calls.decorate(one), calls.decorate(other, version=2)
    assert (plain(1), versioned(1)) == ("one", "other")
    assert versioned.cache_key(1).startswith(f"{NAME}@2#")


def test_a_function_is_named_by_its_module_and_qualified_name() -> None:
    with BaseCacheManager(enable_redis=False, cache_prefix="named") as manager:
        named: Any = cached(manager)(in_loop)
        assert named.cache_key(1).startswith("tests.helpers.in_loop#")


def test_a_key_function_makes_the_text_of_the_key(calls: Calls) -> None:
    def price(model: str, trace: object) -> list[str]:
        calls.arguments.append(model)
        return [model]

    keyed = calls.decorate(price, key=lambda model, trace: f"m-{model}")
    keyed("gpt-x", object())
    keyed("gpt-x", object())
    assert calls.arguments == ["gpt-x"]
    assert keyed.cache_key("gpt-x", None) == f"{NAME}:m-gpt-x"
    broken = calls.decorate(price, key=lambda model, trace: model and None)
    with pytest.raises(KeyTypeError, match=r"key= of .*price must be a non-empty str, not None"):
        broken("gpt-x", None)


def test_ignored_parameters_do_not_enter_the_key(calls: Calls) -> None:
    def price(session: object, model: str, *, trace: object = None) -> str:
        calls.arguments.append(model)
        return model

    ignoring = calls.decorate(price, ignore=("session", "trace"))
    ignoring(object(), "gpt-x")
    ignoring(object(), "gpt-x", trace=object())
    assert calls.arguments == ["gpt-x"]
    assert ignoring.cache_key(1, "a") != ignoring.cache_key(1, "b")


def test_variadic_arguments_enter_the_key_in_their_order_and_by_name(calls: Calls) -> None:
    def total(first: int, /, *rest: int, **named: int) -> int:
        return first + sum(rest) + sum(named.values())

    key = calls.decorate(total).cache_key
    assert key(1, 2, a=3, b=4) == key(1, 2, b=4, a=3)
    assert len({key(1, 2), key(2, 1), key(1, 2, first=2), key(1, a=2), key(1, rest=2)}) == 5


def test_skipped_calls_bypass_the_cache_and_are_not_counted(calls: Calls) -> None:
    def price(model: str) -> str:
        calls.arguments.append(model)
        return model

    skipping = calls.decorate(price, skip_if=lambda model: model.startswith("dev-"))
    for _ in range(2):
        assert skipping("dev-x") == "dev-x"
        assert skipping("gpt-x") == "gpt-x"
    assert calls.arguments == ["dev-x", "gpt-x", "dev-x"]
    assert calls.stats["requests"] == 2


def test_refreshing_a_skipped_call_forgets_the_old_result_and_stores_no_new_one(
    calls: Calls,
) -> None:
    def price(user: str, model: str) -> str:
        calls.arguments.append(user)
        return user

    skipping = calls.decorate(price, ignore=("user",), skip_if=lambda user, model: user == "admin")
    assert skipping("ann", "gpt-x") == skipping("bob", "gpt-x") == "ann"
    assert skipping.cache_refresh("admin", "gpt-x") == "admin"
    assert calls.ask("get", skipping.cache_key("ann", "gpt-x"), MISS) is MISS
    assert skipping("bob", "gpt-x") == "bob", "a skipped call's result is nobody else's"
    assert calls.arguments == ["ann", "admin", "bob"]


def test_a_result_that_is_not_to_be_stored_is_returned_and_computed_again(calls: Calls) -> None:
    answers = iter([{"ok": False}, {"ok": False}, {"ok": True}, {"ok": False}])
    storing = calls.decorate(lambda: next(answers), store_if=lambda result: result["ok"])
    got = [storing()["ok"] for _ in range(4)]
    assert got == [False, False, True, True]
    assert calls.stats["loads"] == 3
    assert calls.stats["errors"] == 0


def test_a_remembered_exception_is_raised_anew_by_its_type_and_nothing_else(calls: Calls) -> None:
    def find(what: str) -> str:
        calls.arguments.append(what)
        raise GoneError("secret-1842")

    finding = calls.decorate(find, remember=NotFoundError, negative_ttl=5)
    with pytest.raises(GoneError, match="secret-1842"):
        finding("x")
    raised = []
    for _ in range(2):
        with pytest.raises(GoneError) as caught:
            finding("x")
        raised.append(caught.value)
    assert [error.args for error in raised] == [(), ()]
    assert raised[0].__notes__ == [NOTE]
    assert raised[0] is not raised[1], "each caller gets its own"
    assert calls.arguments == ["x"]
    key = finding.cache_key("x")
    assert calls.ask("get", key, "none") == "none"
    assert calls.ask("get_many", [key]) == {}
    assert calls.ask("explain", key).l1.none is True
    assert 0 < calls.ask("ttl", key) <= 5
    stats = calls.stats
    assert (stats["loads"], stats["l1_hits"]) == (1, 4), "a remembered none is a hit"
    calls.timer.advance(5.1)
    with pytest.raises(GoneError, match="secret-1842"):
        finding("x")
    assert finding.cache_invalidate("x") is True
    with pytest.raises(GoneError, match="secret-1842"):
        finding("x")
    assert len(calls.arguments) == 3


def test_no_stored_entry_holds_the_exception_that_was_raised(calls: Calls) -> None:
    def find(what: str) -> str:
        raise NotFoundError("secret-1842")

    finding = calls.decorate(find, remember=(NotFoundError,), negative_ttl=5)
    with pytest.raises(NotFoundError):
        finding("x")
    core = calls.manager.core
    (entry,) = core.local.entries.values()
    assert (entry.value.kind, entry.value._error, entry.value._first) == (
        NotFoundError,
        None,
        [None],
    )


def test_other_exceptions_and_those_that_want_arguments_are_not_remembered(calls: Calls) -> None:
    def find(error: str) -> str:
        calls.arguments.append(error)
        raise NumberedError(3) if error == "numbered" else LookupError(error)

    finding = calls.decorate(find, remember=NotFoundError, negative_ttl=5)
    for _ in range(2):
        with pytest.raises(NumberedError, match="3"):
            finding("numbered")
        with pytest.raises(LookupError, match="other"):
            finding("other")
    assert len(calls.arguments) == 4


def test_tags_may_depend_on_the_arguments_and_on_the_result(calls: Calls) -> None:
    def choose(user: str) -> dict[str, str]:
        calls.arguments.append(user)
        if user == "nobody":
            raise NotFoundError
        return {"provider": "openai" if user == "a" else "azure"}

    choosing = calls.decorate(
        choose, tags=lambda user: [f"user:{user}"], remember=NotFoundError, negative_ttl=9,
        result_tags=lambda result: [f"provider:{result['provider']}"],
    )  # fmt: skip

    def ask_all() -> None:
        for user in ("a", "b"):
            choosing(user)
        with pytest.raises(NotFoundError):
            choosing("nobody")

    ask_all()
    for tag, again in (("provider:openai", ["a"]), ("user:b", ["b"]), ("user:nobody", ["nobody"])):
        calls.arguments.clear()
        calls.ask("invalidate_tags", tag)
        calls.timer.advance(0.1)  # what is loaded in the moment of an invalidation may be older
        ask_all()
        assert calls.arguments == again
    assert calls.decorate(choose, tags=("all",), version=2)("a")
    calls.arguments.clear()
    calls.ask("invalidate_tags", "all")
    calls.timer.advance(0.1)
    calls.decorate(choose, tags=("all",), version=2)("a")
    assert calls.arguments == ["a"]


def test_a_decorated_function_may_be_decorated_again() -> None:
    with (
        BaseCacheManager(enable_redis=False, cache_prefix="near") as near,
        BaseCacheManager(enable_redis=False, cache_prefix="far") as far,
    ):

        @cached(near, name="n")
        @cached(far, name="f")
        def double(n: int) -> int:
            return 2 * n

        assert double(2) == double(2) == 4
        assert (
            near.get(double.cache_key(2)),
            far.get(double.cache_key(2).replace("n#", "f#")),
        ) == (4, 4)
        assert double.cache_key(2).startswith("n#")
        assert near.get_stats()["loads"] == far.get_stats()["loads"] == 1


def test_the_function_keeps_its_signature_its_name_and_its_documentation(calls: Calls) -> None:
    def price(model: str, tokens: int = 1) -> list[str]:
        """The price."""
        return [model]

    made = calls.decorate(price)
    inner = made.function if calls.awaited else made
    assert inspect.signature(inner) == inspect.signature(price)
    assert (inner.__name__, inner.__doc__) == ("price", "The price.")
    assert inspect.iscoroutinefunction(inner.__wrapped__) is calls.awaited
    assert inspect.iscoroutinefunction(inner) is calls.awaited
    if calls.awaited:
        assert asyncio.iscoroutinefunction(inner)
        assert inspect.iscoroutinefunction(type(inner).__call__)


def test_negative_ttl_is_the_policy_s_unless_given() -> None:
    policy, timer = Policy(negative_ttl=7), ManualTimer()
    with BaseCacheManager(
        enable_redis=False, cache_prefix="negative", policy=policy, timer=timer
    ) as manager:
        for given, seconds in ((None, 7), (3, 3)):
            calls: list[int] = []

            def find(calls: list[int] = calls) -> int:
                calls.append(1)
                raise NotFoundError

            finding = cached(
                manager, remember=NotFoundError, negative_ttl=given, ignore=("calls",),
                name=f"find{seconds}",
            )(find)  # fmt: skip
            for wait in (0, seconds - 0.1, 0.2):
                timer.advance(wait)
                with pytest.raises(NotFoundError):
                    finding()
            assert len(calls) == 2


@in_loop
async def test_tasks_that_call_at_once_share_one_call_and_its_error() -> None:
    calls = 0
    go_on = asyncio.Event()
    async with AsyncCacheManager(enable_redis=False, cache_prefix="tasks") as manager:

        @cached(manager, remember=NotFoundError, negative_ttl=5, name="tasks")
        async def find(what: str) -> str:
            nonlocal calls
            calls += 1
            await go_on.wait()
            raise NotFoundError(what)

        asking = [asyncio.ensure_future(find("x")) for _ in range(10)]
        await asyncio.sleep(0)
        go_on.set()
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert calls == 1
        assert len(set(map(id, errors))) == 10, "no two raise one object"
        assert all(type(error) is NotFoundError for error in errors)
        assert [str(error) for error in errors] == ["x"] * 10
