"""As much of LiteLLM as `routecache.adapters.litellm` and its example import, and no more.

What the Router hands its callbacks is copied from LiteLLM 1.110.2; `tests/litellm_run.py` runs the
real one.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest


class LostError(Exception):
    """openai.APIConnectionError: there is no connection, or no more."""


class LateError(LostError):
    """openai.APITimeoutError."""


class APIConnectionError(LostError):
    """litellm.exceptions.APIConnectionError: raised for whatever LiteLLM cannot explain."""

    status_code = 500


class CustomLogger:
    """The base class of callbacks."""


class Router:
    """A Router that answers itself, and remembers what it was asked."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.asked: list[dict[str, Any]] = []

    async def acompletion(self, model: str, messages: Any, **more: Any) -> Any:
        self.asked.append({"model": model, "messages": messages, **more})
        return self

    def model_dump_json(self) -> str:
        return "{}"


@contextmanager
def installed(*modules: str) -> Iterator[None]:
    """`import litellm` gives the fake, and `modules` are imported anew, here and afterwards."""
    fakes: Mapping[str, Mapping[str, Any]] = {
        "openai": {"APIConnectionError": LostError, "APITimeoutError": LateError},
        "litellm": {"Router": Router, "callbacks": []},
        "litellm.exceptions": {"APIConnectionError": APIConnectionError},
        "litellm.integrations": {},
        "litellm.integrations.custom_logger": {"CustomLogger": CustomLogger},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, content in fakes.items():
            module = ModuleType(name)
            vars(module).update(content)
            patch.setitem(sys.modules, name, module)
        for name in modules:
            patch.delitem(sys.modules, name, raising=False)
        yield
        for name in modules:
            sys.modules.pop(name, None)


def attempt(deployment: str, **more: Any) -> dict[str, Any]:
    """The `request_data` of an attempt at `deployment`."""
    info = {"id": deployment, "db_model": False, "member_auto_router": False}
    return {"model": "openai/chat", "model_info": info, "metadata": {"model_info": info}, **more}


def stream_log(deployment: str, **more: Any) -> dict[str, Any]:
    """What `async_log_success_event` is told of a stream that is over."""
    params = {"model_info": attempt(deployment)["model_info"]}
    return {"stream": True, "cache_hit": False, "litellm_params": params, **more}


def break_log(deployment: str, error: object, **more: Any) -> dict[str, Any]:
    """What `async_log_failure_event` is told of a stream that broke off after it had begun."""
    begun = {"completion_start_time": datetime(2027, 1, 15, 8, tzinfo=UTC), "exception": error}
    return {**stream_log(deployment), **begun, **more}


def retried(*failed: str) -> dict[str, Any]:
    """The request that a filter is asked about after attempts at `failed`."""
    records = tuple({"model_group": "chat", "deployment_id": name} for name in failed)
    return {"metadata": {"model_group": "chat", "previous_models": records}}
