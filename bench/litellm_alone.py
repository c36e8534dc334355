"""The LiteLLM example as `bench_gateways` compares it: the Router as it comes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from gateway_config import Config
from litellm_gateway import chat_completions, make_router


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    yield {"router": make_router(Config.from_env())}


app = FastAPI(lifespan=lifespan)
app.post("/v1/chat/completions")(chat_completions)
