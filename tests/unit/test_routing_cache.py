"""RoutingCache and AsyncRoutingCache in memory: names, sizes and life times, invalidations.

Each test drives the sync class, the asyncio one, and one that is a face of a sync one.
"""

import asyncio
import dataclasses
import inspect
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import routecache
from routecache import (
    MISS,
    AsyncRoutingCache,
    HealthPolicy,
    RequestContext,
    RoutingCache,
    RoutingSettings,
    get_routing_cache,
    reset_routing_cache,
    snapshot,
)
from routecache.routing.health import Invalidation
from routecache.testing import ManualTimer
from tests.contract.blocking import Blocking

CONTEXT = {"task": "chat", "tokens": 512, "tools": ["search", "code"]}
SAME_CONTEXT = {"tools": ("search", "code"), "tokens": 512, "task": "chat"}
MEMORY_ONLY = RoutingSettings(enable_redis=False)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(params=["sync", "async", "face"])
def cache(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """A RoutingCache, or an AsyncRoutingCache that is called from this thread."""
    made: list[Any] = []
    if request.param != "async":
        made.append(RoutingCache(MEMORY_ONLY))
    if request.param != "sync":
        made.append(AsyncRoutingCache.from_sync(*made) if made else AsyncRoutingCache(MEMORY_ONLY))
    yield Blocking(made[-1], loop)
    for each in reversed(made):
        Blocking(each, loop).close()


@pytest.fixture(params=[False, True], ids=["context", "request"])
def wrap(request: pytest.FixtureRequest) -> Callable[[object], object]:
    """Makes a context what it is given to the cache as: itself, or a RequestContext."""
    return RequestContext if request.param else lambda context: context


@pytest.fixture
def no_singleton() -> Iterator[None]:
    reset_routing_cache()
    yield
    reset_routing_cache()


@pytest.mark.parametrize("name", ["provider_status", "model_selection", "fallback_chain"])
def test_a_getter_gives_what_its_setter_stored(cache: Any, name: str) -> None:
    asked: Any = "openai" if name == "provider_status" else CONTEXT
    getter, setter = getattr(cache, f"get_{name}"), getattr(cache, f"set_{name}")
    assert getter(asked) is None
    assert getter(asked, "default") == "default"
    setter(asked, ["x"], 60)
    assert getter(asked) == ["x"]


def test_contexts_that_mean_the_same_share_an_entry(
    cache: Any, wrap: Callable[[object], object]
) -> None:
    cache.set_model_selection(wrap(CONTEXT), "gpt-x")
    cache.set_fallback_chain(CONTEXT | {"tokens": 513}, ["gpt-y"])
    assert cache.get_model_selection(SAME_CONTEXT) == "gpt-x"
    assert cache.get_model_selection(wrap(SAME_CONTEXT), loader=lambda: "loaded") == "gpt-x"
    assert cache.get_model_selection(wrap(CONTEXT | {"tokens": 513})) is None
    assert cache.get_fallback_chain(wrap(CONTEXT)) is None, "the caches are apart"
    assert cache.get_fallback_chain(wrap(CONTEXT | {"tokens": 513})) == ["gpt-y"]


def test_a_getter_with_a_loader_computes_once_and_stores(cache: Any) -> None:
    calls: list[int] = []

    def load() -> str:
        calls.append(1)
        return "gpt-x"

    for _ in range(3):
        assert cache.get_model_selection(CONTEXT, loader=load) == "gpt-x"
    assert cache.get_normalized_tool("Web-Search", loader=lambda: "search") == "search"
    assert len(calls) == 1


def test_a_loader_that_finds_none_gives_the_default(cache: Any) -> None:
    assert cache.get_provider_status("nobody", "unknown", loader=lambda: MISS) == "unknown"
    assert cache.get_provider_status("nobody") is None


def test_the_sizes_life_times_and_names_are_those_of_the_design(cache: Any) -> None:
    managers = {m.name: getattr(m, "sync", m) for m in cache._caches()}
    sizes = {name: m.get_stats()["l1_maxsize"] for name, m in managers.items()}
    assert sizes == {"provider": 50, "model": 100, "fallback": 50, "tool": 200}
    cache.set_provider_status("p", 1)
    cache.set_model_selection(CONTEXT, 1)
    cache.set_fallback_chain(CONTEXT, 1)
    cache.set_normalized_tool("t", "n")
    lives = {
        name: round(next(iter(m._entries.values())).expires_at - m._timer(), 0)
        for name, m in managers.items()
        if name != "tool"
    }
    assert lives == {"provider": 300, "model": 180, "fallback": 600}
    assert managers["tool"].ttl("t") == float("inf")


def test_sizes_of_the_settings_and_a_timer_of_the_caller_are_used() -> None:
    timer = ManualTimer()
    settings = dataclasses.replace(MEMORY_ONLY, model_maxsize=2, fallback_maxsize=3, model_ttl=7)
    with RoutingCache(settings, timer=timer) as cache:
        for i in range(5):
            cache.set_model_selection({"i": i}, "m")
            cache.set_fallback_chain({"i": i}, ["m"])
            cache.set_provider_status(f"p{i}", "up")
        sizes = {found.name: found.l1_entries for found in snapshot().caches}
        assert (sizes["model"], sizes["fallback"], sizes["provider"]) == (2, 3, 5)
        cache.set_model_selection({"i": 9}, "m")
        timer.advance(6.9)
        assert cache.get_model_selection({"i": 9}) == "m"
        timer.advance(0.1)
        assert cache.get_model_selection({"i": 9}) is None


def test_the_tool_cache_evicts_the_least_recently_used_of_200(cache: Any) -> None:
    for i in range(200):
        cache.set_normalized_tool(f"tool{i}", f"name{i}")
    assert cache.get_normalized_tool("tool0") == "name0", "used again, so not the next to go"
    cache.set_normalized_tool("one more", "name")
    assert cache.get_normalized_tool("tool0") == "name0"
    assert cache.get_normalized_tool("tool1") is None
    stats = cache.get_stats()["tool"]
    assert (stats["l1_size"], stats["evictions"]) == (200, 1)


def test_invalidations_forget_what_they_name_and_nothing_else(
    cache: Any, wrap: Callable[[object], object]
) -> None:
    other = CONTEXT | {"tokens": 1}
    for context in (CONTEXT, other):
        cache.set_model_selection(context, "m")
        cache.set_fallback_chain(context, ["m"])
    assert cache.invalidate_model_selection(wrap(SAME_CONTEXT)) is True
    assert cache.invalidate_model_selection(wrap(SAME_CONTEXT)) is False
    assert cache.invalidate_fallback_chain(wrap(CONTEXT)) is True
    assert cache.get_model_selection(CONTEXT) is None
    assert cache.get_fallback_chain(CONTEXT) is None
    assert cache.get_model_selection(other) == "m"
    assert cache.get_fallback_chain(other) == ["m"]


def fill_by_provider(cache: Any) -> None:
    for provider in ("openai", "azure"):
        cache.set_provider_status(provider, "up")
        cache.set_model_selection({"for": provider}, f"{provider}/m", providers=[provider])
        cache.get_fallback_chain(
            {"for": provider}, loader=partial(list, [provider]), providers=lambda chain: chain
        )


def held(cache: Any, provider: str) -> list[bool]:
    return [
        cache.get_provider_status(provider) is not None,
        cache.get_model_selection({"for": provider}) is not None,
        cache.get_fallback_chain({"for": provider}) is not None,
    ]


def test_invalidating_a_provider_takes_all_that_names_it(cache: Any) -> None:
    fill_by_provider(cache)
    cache.invalidate_provider("openai")
    assert held(cache, "openai") == [False] * 3
    assert held(cache, "azure") == [True] * 3


def test_a_provider_that_turns_unhealthy_takes_all_that_names_it_once(cache: Any) -> None:
    told: list[Invalidation] = []
    cache.add_invalidation_hook(told.append)
    fill_by_provider(cache)
    cache.report_provider_health("openai", True)
    assert held(cache, "openai") == [True] * 3
    cache.report_provider_health("openai", False, source="probe", reason="503")
    assert held(cache, "openai") == [False] * 3
    assert held(cache, "azure") == [True] * 3
    fill_by_provider(cache)
    cache.report_provider_health("openai", False)
    assert held(cache, "openai") == [True] * 3, "it had been unhealthy already"
    assert told == [Invalidation("all", "openai", "health")]


def test_a_hook_that_raises_breaks_neither_the_call_nor_other_hooks(
    cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Invalidation] = []

    def broken(invalidation: Invalidation) -> None:
        raise RuntimeError("secret-key-123")

    cache.add_invalidation_hook(broken)
    cache.add_invalidation_hook(told.append)
    cache.invalidate_provider("openai")
    assert [t.provider for t in told] == ["openai"]
    assert "RuntimeError" in caplog.text
    assert "secret-key-123" not in caplog.text


def test_warm_stores_before_the_first_request(cache: Any) -> None:
    result = cache.warm(
        providers={"openai": "up"},
        models=[(CONTEXT, "m")],
        fallbacks=[(RequestContext(CONTEXT), ["m", "n"])],
        tools={"Web": "search"},
    )
    assert (result.warm, result.complete) == (4, True)
    assert cache.get_provider_status("openai") == "up"
    assert cache.get_model_selection(SAME_CONTEXT) == "m"
    assert cache.get_fallback_chain(SAME_CONTEXT) == ["m", "n"]
    assert cache.get_normalized_tool("Web") == "search"
    cache.invalidate_provider("openai")
    assert cache.get_provider_status("openai") is None


def test_what_is_invalidated_or_cleared_is_stated_anew_by_the_next_bad_report() -> None:
    """Forgetting a status is no verdict: the provider is still unhealthy here."""
    policy = HealthPolicy(unhealthy_status="down")
    with RoutingCache(RoutingSettings(enable_redis=False), health=policy) as cache:
        cache.report_provider_health("openai", False)
        for forget in (lambda: cache.invalidate_provider("openai"), cache.clear_all):
            assert cache.get_provider_status("openai") == "down"
            forget()
            assert cache.get_provider_status("openai") is None
            cache.report_provider_health("openai", False)
        assert cache.get_provider_status("openai") == "down"


def test_clear_all_empties_every_cache(cache: Any) -> None:
    cache.warm(providers={"p": 1}, models=[(1, 1)], fallbacks=[(1, 1)], tools={"t": "n"})
    cache.clear_all()
    stats = cache.get_stats()
    assert [stats[n]["l1_size"] for n in ("provider", "model", "fallback", "tool")] == [0] * 4


def test_the_overall_hit_ratio_is_over_all_four_caches(no_singleton: None) -> None:
    with RoutingCache(MEMORY_ONLY) as cache:
        before = cache.get_stats()["provider"]["requests"]
        cache.get_provider_status("p", loader=lambda: 1)
        cache.get_provider_status("p", loader=lambda: 1)
        after = cache.get_stats()
        assert after["provider"]["requests"] == before + 2
        assert 0 <= after["hit_ratio"] <= 1


def test_the_singleton_is_one_per_process_until_it_is_reset(
    no_singleton: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTING_CACHE_ENABLE_REDIS", "false")
    monkeypatch.setenv("ROUTING_CACHE_MODEL_TTL_SECS", "7")
    first = get_routing_cache()
    assert get_routing_cache() is first
    assert first.settings.model_ttl == 7
    reset_routing_cache()
    assert get_routing_cache() is not first


def test_settings_are_immutable_and_hide_the_url() -> None:
    settings = RoutingSettings(redis_url="redis://:hunter2@host")
    assert "hunter2" not in repr(settings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.model_ttl = 1  # type: ignore[misc]


def test_every_public_name_has_a_docstring() -> None:
    for name in routecache.__all__:
        thing = getattr(routecache, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, name
            for attribute, member in vars(thing).items():
                if not attribute.startswith("_") and inspect.isfunction(member):
                    assert member.__doc__, f"{name}.{attribute}"


def test_what_a_health_report_takes_is_counted_as_that(cache: Any) -> None:
    def counted() -> int:
        model = next(c for c in snapshot().caches if c.name == "model")
        return model.removals.get(("l1", "health"), 0)

    before = counted()
    cache.set_model_selection({"q": 1}, "gpt", providers=("openai",))
    cache.report_provider_health("openai", False)
    assert counted() == before + 1


def test_one_name_in_place_of_several_is_refused(cache: Any) -> None:
    with pytest.raises(TypeError, match="an iterable of names"):
        cache.set_model_selection({"q": 1}, "gpt", providers="openai")
