"""The FastAPI example without routecache, as `bench_gateways` compares it: nothing is remembered.

`asks` asks a provider whether it is up before each attempt; `tries` just tries one after the other.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from fastapi_gateway import Gateway, chat_completions
from gateway_config import Config, ranked
from routecache import AsyncRoutingCache, RequestContext, RoutingSettings
from routecache.adapters.failure import Failure
from routecache.adapters.health import Probe, ProviderHealth


class Unremembered(ProviderHealth):
    """Every answer is found out anew."""

    def __init__(self, cache: AsyncRoutingCache, probe: Probe | None) -> None:
        super().__init__(cache, probe=probe)

    async def is_up(self, provider: str) -> bool:
        return self._probe is None or await self._answers(provider)

    async def failed(self, provider: str, failure: Failure) -> bool:  # noqa: ARG002
        return False


class Without(Gateway):
    """The example's gateway, which decides about each request as if it were the first."""

    def __init__(
        self, config: Config, cache: AsyncRoutingCache, http: httpx.AsyncClient, *, asks: bool
    ) -> None:
        super().__init__(config, cache, http)
        self.health = Unremembered(cache, self._probe if asks else None)

    async def _route(self, context: RequestContext) -> list[str]:
        return ranked(context.key, self._config.providers)


def application(*, asks: bool) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        config = Config.from_env()
        async with (
            httpx.AsyncClient(timeout=config.timeout) as http,
            AsyncRoutingCache(RoutingSettings(enable_redis=False)) as cache,
        ):
            yield {"gateway": Without(config, cache, http, asks=asks)}

    app = FastAPI(lifespan=lifespan)
    app.post("/v1/chat/completions")(chat_completions)
    return app


asks = application(asks=True)
tries = application(asks=False)
