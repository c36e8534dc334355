"""An OpenAI-compatible gateway that asks routecache the four questions of a router.

    uvicorn --app-dir docs/examples fastapi_gateway:app

Settings: `gateway_config.py`, REDIS_URL and ROUTING_CACHE_*. Needs
`pip install 'routecache[fastapi]' httpx uvicorn`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.background import BackgroundTask

from gateway_config import Config, ranked
from routecache import AsyncRoutingCache, RequestContext
from routecache.adapters.failure import Failure, failure_of
from routecache.adapters.fastapi import STATE, open_routing_cache, warmed
from routecache.adapters.health import ProviderHealth
from routecache_exporters.http import make_asgi_app


class ChatRequest(BaseModel):
    """What the gateway reads of a request; all else goes to the provider as it is."""

    model_config = ConfigDict(extra="allow")

    model: str
    user: str = ""
    stream: bool = False
    tools: list[dict[str, Any]] | None = None


class Gateway:
    """Finds a provider for each request, and another one if that fails."""

    def __init__(self, config: Config, cache: AsyncRoutingCache, http: httpx.AsyncClient) -> None:
        self._config = config
        self._providers = sorted(config.providers)
        self._cache = cache
        self._http = http
        self.health = ProviderHealth(
            cache, probe=self._probe, source="gateway", cooldown=config.cooldown
        )

    async def complete(self, chat: ChatRequest) -> Response:
        """Answer with the first provider that can; an error of the caller's own goes back."""
        # Chains and choices are shared with processes of other releases, which may know others.
        context = RequestContext(
            {"model": chat.model, "user": chat.user, "providers": self._providers}
        )
        body = await self._with_canonical_tools(chat)
        limited: Failure | None = None
        attempted = False
        for provider in await self._route(context):
            if not await self.health.is_up(provider):
                continue
            attempted = True
            answer = await self._attempt(provider, body, stream=chat.stream)
            if isinstance(answer, Response):
                return answer
            await self.health.failed(provider, answer)
            limited = answer if answer.kind == "rate_limit" else limited
        if limited is not None:
            return _error(429, "every provider that is up limits the rate", limited.retry_after)
        if attempted:
            return _error(502, "every provider that was up failed")
        return _error(503, "no provider is up", self._config.cooldown)

    async def warm(self) -> None:
        """Learn of all providers at once whether they are up."""
        await asyncio.gather(*map(self.health.is_up, self._config.providers))

    async def _route(self, context: RequestContext) -> list[str]:
        """The chosen provider, then the others of the chain."""
        who = f"{context.content['model']}\0{context.content['user']}"
        chain: list[str] = await self._cache.get_fallback_chain(
            context,
            loader=lambda: ranked(who, self._providers),
            providers=lambda chain: chain,
        )

        async def choose() -> str:
            # If none is up the first is no worse than another, and is asked for below again.
            return next(iter(await self.health.those_up(chain)), chain[0])

        chosen = await self._cache.get_model_selection(
            context, loader=choose, providers=lambda chosen: (chosen,)
        )
        if not await self.health.is_up(chosen):
            # Chosen while the news of its failure was under way.
            await self._cache.invalidate_model_selection(context)
        return [chosen, *(provider for provider in chain if provider != chosen)]

    async def _attempt(
        self, provider: str, body: Mapping[str, Any], *, stream: bool
    ) -> Response | Failure:
        url = self._url(provider, "chat/completions")
        request = self._http.build_request("POST", url, json=body)
        async with AsyncExitStack() as opened:
            try:
                answer = await self._http.send(request, stream=True)
                opened.push_async_callback(answer.aclose)
                failure = failure_of(answer.status_code, answer.headers.get("retry-after"))
                if failure is not None:
                    return failure
                headers = {"x-provider": provider}
                kind = answer.headers.get("content-type")
                if stream and answer.is_success:
                    return StreamingResponse(
                        self._stream(provider, answer),
                        answer.status_code,
                        headers,
                        kind,
                        background=BackgroundTask(opened.pop_all().aclose),
                    )
                content = await answer.aread()
            except httpx.RequestError as error:
                return _failure(error)
            self.health.succeeded(provider)
            return Response(content, answer.status_code, headers, kind)

    async def _stream(self, provider: str, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for part in answer.aiter_bytes():
                yield part
        except httpx.RequestError as error:
            await self.health.failed(provider, _failure(error))
            yield b'data: {"error": {"message": "the provider broke off", "type": "gateway"}}\n\n'
        else:
            self.health.succeeded(provider)

    async def _probe(self, provider: str) -> bool:
        return (await self._http.get(self._url(provider, "models"))).is_success

    async def _with_canonical_tools(self, chat: ChatRequest) -> dict[str, Any]:
        body = chat.model_dump(exclude_unset=True)
        for tool in body.get("tools") or ():
            function = tool.get("function")
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                function["name"] = await self._canonical(function["name"])
        return body

    async def _canonical(self, tool: str) -> str:
        if not tool:
            return tool
        name: str = await self._cache.get_normalized_tool(
            tool, loader=lambda: tool.strip().lower().replace("-", "_").replace(" ", "_")
        )
        return name

    def _url(self, provider: str, path: str) -> str:
        return f"{self._config.providers[provider]}/v1/{path}"


def _failure(error: httpx.RequestError) -> Failure:
    """What it says of a provider that it cannot be reached, or not be decoded."""
    return Failure("timeout" if isinstance(error, httpx.TimeoutException) else "error")


def _error(status: int, message: str, retry_after: float | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": str(max(1, round(retry_after)))}
    return JSONResponse({"error": {"message": message, "type": "gateway"}}, status, headers)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    """One cache, one HTTP client and one gateway for the life of the application."""
    config = Config.from_env()
    key = {"authorization": f"Bearer {config.api_key}"}
    async with (
        httpx.AsyncClient(timeout=config.timeout, headers=key) as http,
        open_routing_cache(health=config.health) as cache,
    ):
        gateway = Gateway(config, cache, http)
        await warmed(gateway.warm, seconds=5)
        try:
            yield {STATE: cache, "gateway": gateway}
        finally:
            await gateway.health.close()


def gateway_of(request: Request) -> Gateway:
    """The application's gateway."""
    gateway: Gateway = request.state.gateway
    return gateway


app = FastAPI(lifespan=lifespan)
app.mount("/ops", make_asgi_app())  # /ops/metrics and the status page


@app.post("/v1/chat/completions")
async def chat_completions(
    chat: ChatRequest, gateway: Annotated[Gateway, Depends(gateway_of)]
) -> Response:
    """OpenAI's chat completions."""
    return await gateway.complete(chat)
