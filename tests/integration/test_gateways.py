"""The gateways of docs/examples, with the real FastAPI and the real LiteLLM.

Each test runs for both: two processes of a gateway share a Redis and three providers that answer,
fail, dawdle or limit the rate as they are told.
"""

import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from tests.commands import environment
from tests.gateways import LITELLM_PYTHON, PROVIDERS, ROOT, Fleet, Gateway, events, fleet
from tests.helpers import eventually

# New users, each of whom one of three providers is for: that all of them are for two has a
# probability of one in a million.
MANY = 36


@pytest.fixture(scope="module")
def fastapi_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet("fastapi", tmp_path_factory.mktemp("fastapi")) as made:
        yield made


@pytest.fixture(scope="module")
def litellm_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet("litellm", tmp_path_factory.mktemp("litellm")) as made:
        yield made


@pytest.fixture(params=["fastapi", pytest.param("litellm", marks=pytest.mark.needs("litellm"))])
def routers(request: pytest.FixtureRequest) -> Fleet:
    """A fleet all of whose providers are up."""
    made: Fleet = request.getfixturevalue(f"{request.param}_fleet")
    made.redis.start()
    made.all_up()
    return made


def untouched(routers: Fleet, provider: str, *gateways: Gateway) -> bool:
    """Whether nothing that the gateways, by default both, are asked reaches `provider`."""
    before = routers.calls(provider)
    for gateway in gateways or routers.gateways:
        gateway.who(MANY)
    return routers.calls(provider) == before


def test_callers_are_spread_over_the_providers_and_each_keeps_its_own(routers: Fleet) -> None:
    first, second = routers.gateways
    assert set(first.who(MANY)) == {*PROVIDERS}
    chosen = first.ask("somebody").content
    assert {gateway.ask("somebody").content for gateway in (first, second) * 3} == {chosen}


def test_a_stream_comes_through(routers: Fleet) -> None:
    answer = routers.gateways[0].ask("somebody", stream=True)
    parts = [event["choices"][0]["delta"].get("content") for event in events(answer.body)]
    assert [part for part in parts if part] == [routers.gateways[0].ask("somebody").content]


@pytest.mark.parametrize("fault", ["fail", "slow", "limit"])
def test_a_provider_in_trouble_is_routed_around_by_both_processes(
    routers: Fleet, fault: str
) -> None:
    first, _ = routers.gateways
    routers.mode("beta", fault)
    # Whoever is sent to it first is answered by another one.
    assert "beta" not in first.who(12)
    eventually(lambda: untouched(routers, "beta"))
    # It is asked whether it is back, by probes and not by requests.
    probed = routers.calls("beta", "probe")
    eventually(lambda: untouched(routers, "beta") and routers.calls("beta", "probe") > probed)


def test_a_provider_that_breaks_streams_off_is_routed_around(routers: Fleet) -> None:
    first, _ = routers.gateways

    def broken() -> list[str]:
        """What those of new users were sent whose stream broke off."""
        answers = [first.ask(stream=True) for _ in range(12)]
        assert {answer.status for answer in answers} == {200}
        return [answer.body for answer in answers if "[DONE]" not in answer.body]

    def avoided() -> bool:
        before = routers.calls("beta")
        return not broken() and routers.calls("beta") == before

    routers.mode("beta", "break")
    told = eventually(broken)
    assert all('"beta"' in body and '"error"' in body for body in told)
    assert eventually(avoided)


def test_news_of_a_provider_reaches_a_process_that_never_asked_it(routers: Fleet) -> None:
    first, second = routers.gateways
    regulars = [f"regular-{n}" for n in range(12)]
    choices = {user: second.ask(user).content for user in regulars}
    of_gamma = [user for user, chosen in choices.items() if chosen == "gamma"]
    assert of_gamma
    routers.mode("gamma", "fail")
    eventually(lambda: untouched(routers, "gamma", first))
    before = routers.calls("gamma")
    # The second process had chosen gamma for these, and drops that without a failure of its own.
    eventually(lambda: {second.ask(user).content for user in of_gamma} <= {"alpha", "beta"})
    assert routers.calls("gamma") - before <= len(of_gamma)
    assert eventually(lambda: untouched(routers, "gamma"))
    # Whoever was with another provider has stayed there.
    kept = {user: chosen for user, chosen in choices.items() if chosen != "gamma"}
    assert {user: second.ask(user).content for user in kept} == kept


def test_a_provider_that_is_back_is_used_again(routers: Fleet) -> None:
    routers.mode("alpha", "fail")
    eventually(lambda: untouched(routers, "alpha"))
    routers.mode("alpha", "ok")
    for gateway in routers.gateways:
        eventually(partial(gateway.uses, *PROVIDERS))


def test_requests_go_on_when_redis_stops_and_a_provider_fails_meanwhile(routers: Fleet) -> None:
    first, second = routers.gateways
    routers.redis.stop()
    assert set(first.who(MANY)) == {*PROVIDERS}
    routers.mode("beta", "fail")
    # Each process finds out by itself.
    eventually(lambda: untouched(routers, "beta"))
    routers.redis.start()
    routers.mode("beta", "ok")
    for gateway in (first, second):
        eventually(partial(gateway.uses, *PROVIDERS))


def test_callers_are_told_when_no_provider_is_left(routers: Fleet) -> None:
    first, _ = routers.gateways
    for provider in PROVIDERS:
        routers.mode(provider, "limit")
    assert first.ask().status == 429
    if routers.kind == "fastapi":
        # Once all are known to be down, nobody is asked any more.
        eventually(lambda: first.ask().status == 503)
        assert int(first.ask().retry_after or 0) >= 1


def test_an_error_of_the_caller_takes_no_provider_down(routers: Fleet) -> None:
    first, _ = routers.gateways
    for _ in range(12):
        assert 400 <= first.ask(messages=[]).status < 500
    assert set(first.who(MANY)) == {*PROVIDERS}


def test_a_caller_cannot_say_where_it_is_answered_or_how(routers: Fleet) -> None:
    first, _ = routers.gateways
    elsewhere = f"{routers.stubs}/elsewhere/v1"
    for more in (
        {"api_base": elsewhere},
        {"base_url": elsewhere},
        {"mock_response": "made up"},
        {"mock_response": "litellm.RateLimitError"},
        {"timeout": 0.000_001},
        {"specific_deployment": True, "fallbacks": [{"chat": ["elsewhere"]}]},
    ):
        answer = first.ask(**more)
        assert answer.status == 200, more
        assert answer.content in PROVIDERS, more
    assert routers.calls("elsewhere") == 0
    assert first.uses(*PROVIDERS)


@pytest.mark.parametrize("body", [b"", b"{", b"7", b'["chat"]', b'{"messages": []}'])
def test_a_body_that_is_no_request_is_the_callers_error(routers: Fleet, body: bytes) -> None:
    first, _ = routers.gateways
    answer = first.http.post(f"{first.address}/v1/chat/completions", content=body)
    assert 400 <= answer.status_code < 500


def test_the_pages_of_the_exporter_tell_of_the_router(routers: Fleet) -> None:
    def unhealthy() -> bool:
        """Whether either process has it so; a gauge is of what was reported to its process."""
        for gateway in routers.gateways:
            gateway.who(3)
        pages = [gateway.page("/ops/metrics") for gateway in routers.gateways]
        return any('routecache_provider_healthy{provider="alpha"} 0.0' in page for page in pages)

    assert "<html" in routers.gateways[0].page("/ops/")
    routers.mode("alpha", "fail")
    eventually(unhealthy)
    routers.mode("alpha", "ok")
    eventually(lambda: not unhealthy(), seconds=30)


def test_nothing_secret_and_no_traceback_is_logged(routers: Fleet) -> None:
    routers.mode("alpha", "fail")
    eventually(lambda: untouched(routers, "alpha"))
    for gateway in routers.gateways:
        log = gateway.log.read_text(errors="replace")
        assert "Traceback" not in log
        assert "hello" not in log


@pytest.mark.needs("litellm")
def test_the_stubs_for_type_checkers_are_what_litellm_has() -> None:
    found = subprocess.run(
        [LITELLM_PYTHON, ROOT / "tests" / "litellm_surface.py"],
        env=environment({"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": ""}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
