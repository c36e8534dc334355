"""Run where LiteLLM is: its real Router with our callback, over the stub providers at an address.

    python tests/litellm_run.py http://127.0.0.1:9000

Prints as JSON what was seen, by scenario.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import litellm

from routecache import AsyncRoutingCache, RoutingSettings
from routecache.adapters.failure import Failure
from routecache.adapters.litellm import Deployment, RoutingCacheCallback

HELLO = [{"role": "user", "content": "hello"}]
NAMES = ("alpha", "beta")


class Trial:
    """A Router whose requests are all for alpha, with beta to fall back on."""

    def __init__(self, stubs: str, http: httpx.AsyncClient, retries: int) -> None:
        self._stubs = stubs
        self._http = http
        self.router = litellm.Router(
            model_list=[
                {
                    "model_name": "chat",
                    "litellm_params": {
                        "model": "openai/chat",
                        "api_base": f"{stubs}/{name}/v1",
                        "api_key": "none",
                    },
                    "model_info": {"id": name},
                }
                for name in NAMES
            ],
            num_retries=retries,
            disable_cooldowns=True,
        )
        self.cache = AsyncRoutingCache(RoutingSettings(enable_redis=False))
        self.callback = RoutingCacheCallback(
            self.cache, choose=self._choose, failures=2, cooldown=3600
        )
        self._succeeded = asyncio.Event()
        self._failed = asyncio.Event()

    async def _choose(self, content: Any, deployments: Sequence[Deployment]) -> str:
        names: list[str] = [deployment["model_info"]["id"] for deployment in deployments]
        return min(names)

    async def mode(self, provider: str, mode: str) -> None:
        answer = await self._http.post(f"{self._stubs}/{provider}/mode", json={"mode": mode})
        answer.raise_for_status()

    async def calls(self, provider: str) -> int:
        answer = (await self._http.get(f"{self._stubs}/calls")).json()
        count: int = answer.get(provider, {}).get("chat", 0)
        return count

    async def ask(self, **more: Any) -> str:
        """Who answered, or the name of what the Router raised."""
        try:
            answer = await self.router.acompletion("chat", HELLO, **more)
            if not more.get("stream"):
                return str(answer.choices[0].message.content)
            parts = [chunk.choices[0].delta.content async for chunk in answer]
            return "".join(part for part in parts if part)
        except Exception as error:  # LiteLLM raises an exception of its own per status
            return type(error).__name__

    async def failing(self, **more: Any) -> str:
        """As `ask`, while alpha fails."""
        await self.mode("alpha", "fail")
        answer = await self.ask(**more)
        await self.mode("alpha", "ok")
        return answer

    async def up(self) -> bool:
        return await self.callback.health.is_up("alpha")

    async def told_of_success(self) -> bool:
        """Whether the callback is told of a success; of streams it is told in the background."""
        return await _comes(self._succeeded)

    async def told_of_failure(self) -> bool:
        return await _comes(self._failed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Trial"]:
        health = self.callback.health
        succeeded, failed = health.succeeded, health.failed

        def told_of_success(provider: str) -> None:
            succeeded(provider)
            self._succeeded.set()

        async def told_of_failure(provider: str, failure: Failure) -> bool:
            down = await failed(provider, failure)
            self._failed.set()
            return down

        health.succeeded = told_of_success  # type: ignore[method-assign]
        health.failed = told_of_failure  # type: ignore[method-assign]
        litellm.callbacks.append(self.callback)
        try:
            yield self
        finally:
            litellm.callbacks.remove(self.callback)
            await self.callback.health.close()
            await self.cache.close()


async def _comes(event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(10):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


async def streams(trial: Trial) -> object:
    """Failures with a streamed success after each, and then two in a row."""
    answers: list[object] = []
    for _ in range(3):
        answers += [await trial.failing(stream=True), await trial.ask(stream=True)]
        answers.append(await trial.told_of_success())
    up = await trial.up()
    await trial.failing(stream=True)
    await trial.failing(stream=True)
    return {"answers": answers, "up": up, "up after two in a row": await trial.up()}


async def broken(trial: Trial) -> object:
    """Streams that alpha breaks off after they have begun."""
    await trial.mode("alpha", "break")
    answers = [await trial.ask(stream=True)]
    await trial.told_of_failure()
    up = await trial.up()
    answers.append(await trial.ask(stream=True))
    await trial.told_of_failure()
    await trial.mode("alpha", "ok")
    return {"answers": answers, "up after one": up, "up after two": await trial.up()}


async def left_alone(trial: Trial) -> object:
    """Streams whose caller has had enough after the first part."""
    for _ in range(3):
        answer = await trial.router.acompletion("chat", HELLO, stream=True)
        await anext(answer)
        await answer.aclose()
    # What is told in the background is told in turn.
    answer = await trial.ask(stream=True)
    return {"answer": answer, "told": await trial.told_of_success(), "up": await trial.up()}


async def made_up(trial: Trial) -> object:
    """Failures that the request asks for, at no provider."""
    answers = [await trial.ask(mock_response="litellm.RateLimitError")]
    return {"answers": answers, "up": await trial.up()}


async def own_key(trial: Trial) -> object:
    """Failures of requests with a key of their own."""
    for _ in range(3):
        await trial.failing(api_key="mine")
    return {"up": await trial.up(), "reported": trial.cache.provider_health()}


async def session(trial: Trial) -> object:
    """A request of a session that fails, and the next one."""
    more = {"litellm_trace_id": "session"}
    return [await trial.failing(**more), await trial.ask(**more)]


async def retry(trial: Trial) -> object:
    """A request that fails at the chosen deployment and is tried again."""
    before = await trial.calls("alpha")
    return {"answer": await trial.failing(), "at alpha": await trial.calls("alpha") - before}


async def main(stubs: str) -> None:
    trials = (
        (streams, 0),
        (broken, 0),
        (left_alone, 0),
        (made_up, 0),
        (own_key, 0),
        (session, 0),
        (retry, 1),
    )
    seen = {}
    async with httpx.AsyncClient(timeout=30) as http:
        for scenario, retries in trials:
            async with Trial(stubs, http, retries).running() as trial:
                seen[scenario.__name__] = await scenario(trial)
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
