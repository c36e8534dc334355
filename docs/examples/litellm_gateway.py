"""An OpenAI-compatible gateway over LiteLLM's Router, which routecache tells who is up.

    LITELLM_LOCAL_MODEL_COST_MAP=True uvicorn --app-dir docs/examples litellm_gateway:app

Settings: `gateway_config.py`, REDIS_URL and ROUTING_CACHE_*. Needs
`pip install 'routecache[litellm]' fastapi uvicorn`.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import litellm
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from gateway_config import Config, ranked
from routecache import AsyncRoutingCache
from routecache.adapters.litellm import Deployment, RoutingCacheCallback
from routecache_exporters.http import make_asgi_app

MODEL: Final = "chat"

# What callers may say. LiteLLM takes all that it is given as arguments of its own: with `api_base`
# a caller would be sent the gateway's key, with `mock_response` or `timeout` a provider would be
# down for everybody.
PASSED: Final = frozenset(
    {
        *("model", "messages", "user", "stream", "stream_options", "n", "stop", "seed"),
        *("max_tokens", "max_completion_tokens", "reasoning_effort", "temperature", "top_p"),
        *("logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty"),
        *("response_format", "tools", "tool_choice", "parallel_tool_calls"),
    }
)


def make_router(config: Config) -> litellm.Router:
    """LiteLLM's Router over the configured providers, each a deployment of one model group."""
    return litellm.Router(
        model_list=[
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": f"{url}/v1",
                    "api_key": config.api_key,
                },
                "model_info": {"id": name},
            }
            for name, url in config.providers.items()
        ],
        num_retries=2,
        timeout=config.timeout,
    )


def make_callback(
    config: Config, cache: AsyncRoutingCache, http: httpx.AsyncClient
) -> RoutingCacheCallback:
    """What the Router asks before it picks: who is up, and who was chosen for this user."""

    async def probe(deployment: str) -> bool:
        return (await http.get(f"{config.providers[deployment]}/v1/models")).is_success

    async def choose(user: Any, deployments: Sequence[Deployment]) -> str:
        return ranked(user, [deployment["model_info"]["id"] for deployment in deployments])[0]

    return RoutingCacheCallback(
        cache,
        choose=choose,
        context=lambda group, request: f"{group}\0{request.get('user', '')}",
        probe=probe,
        cooldown=config.cooldown,
    )


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    """One cache and one Router for the life of the application."""
    config = Config.from_env()
    async with (
        httpx.AsyncClient(timeout=config.timeout) as http,
        AsyncRoutingCache(health=config.health) as cache,
    ):
        callback = make_callback(config, cache, http)
        litellm.callbacks.append(callback)
        try:
            yield {"router": make_router(config)}
        finally:
            litellm.callbacks.remove(callback)
            await callback.health.close()


app = FastAPI(lifespan=lifespan)
app.mount("/ops", make_asgi_app())  # /ops/metrics and the status page


@app.post("/v1/chat/completions")
async def chat_completions(request: Request) -> Response:
    """OpenAI's chat completions."""
    router: litellm.Router = request.state.router
    try:
        asked = _asked(await request.json())
    except (ValueError, RecursionError):
        message = {"error": {"message": "give a JSON object with model and messages"}}
        return JSONResponse(message, 400)
    try:
        answer = await router.acompletion(**asked)
    except Exception as error:  # noqa: BLE001  # LiteLLM raises an exception of its own per status
        status = getattr(error, "status_code", None)
        status = status if isinstance(status, int) else 500
        return JSONResponse(_error("no deployment answered", error), status)
    if asked.get("stream"):
        return StreamingResponse(_events(answer), media_type="text/event-stream")
    return Response(answer.model_dump_json(), media_type="application/json")


def _asked(body: object) -> dict[str, Any]:
    """The arguments of a request that callers may give."""
    if not isinstance(body, dict) or not {"model", "messages"} <= body.keys():
        raise ValueError
    return {name: value for name, value in body.items() if name in PASSED}


async def _events(chunks: Any) -> AsyncIterator[str]:
    try:
        async for chunk in chunks:
            yield f"data: {chunk.model_dump_json(exclude_none=True)}\n\n"
        yield "data: [DONE]\n\n"
    except Exception as error:  # noqa: BLE001  # as above
        yield f"data: {json.dumps(_error('the deployment broke off', error))}\n\n"


def _error(message: str, error: Exception) -> dict[str, Any]:
    return {"error": {"message": message, "type": type(error).__name__}}
