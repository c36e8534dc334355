"""`RoutingCacheCallback`: LiteLLM's Router asks routecache who is up and who was chosen."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

try:
    from litellm.exceptions import APIConnectionError
    from litellm.integrations.custom_logger import CustomLogger
except ImportError as missing:
    raise ImportError(
        "routecache.adapters.litellm needs LiteLLM: pip install 'routecache[litellm]'"
    ) from missing

from routecache.adapters.failure import Failure, failure_of
from routecache.adapters.health import Probe, ProviderHealth
from routecache.routing.async_cache import AsyncRoutingCache
from routecache.routing.request_context import RequestContext

Deployment: TypeAlias = Mapping[str, Any]
Context: TypeAlias = Callable[[str, Mapping[str, Any]], object]
Choose: TypeAlias = Callable[[Any, Sequence[Deployment]], Awaitable[str]]

# Requests that failed somewhere and are tried again, of which the oldest are forgotten first.
_MAX_REQUESTS: Final = 1_000

_log = logging.getLogger("routecache")


class RoutingCacheCallback(CustomLogger):
    """A LiteLLM callback that narrows a Router's deployments by what routecache knows of them.

        litellm.callbacks.append(RoutingCacheCallback(cache))

    Before the Router's strategy picks, deployments whose status is down are left out, in every
    process that shares the Redis; are all down, none is left out, and the Router's own cooldowns
    decide. With `choose`, the deployment for a request is chosen once for each context and then
    taken from the cache, until its TTL ends or its deployment is reported unhealthy. After each
    attempt the Router tells how it went, before it tries again; a request that failed at one
    deployment is then sent to another one.

    A deployment is called by its `model_info.id`, which should be set: LiteLLM's own is a digest
    of its parameters, and `/metrics` shows it as the label `provider`.

    Args:
        cache: where statuses and choices are kept; closing it is the caller's.
        choose: gives the id of one of the deployments for a context. Without it LiteLLM's strategy
            picks among those that are up.
        context: gives what a choice depends on, from the model group and the request's arguments;
            by default the group alone. A context of two groups must tell them apart.
        probe, cooldown, max_cooldown, failures, probe_timeout: as `ProviderHealth` takes them,
            which is the attribute `health`; `health.close` ends its probes.

    The Router calls it for asynchronous requests only (`acompletion` and the like). For tasks of
    one event loop. No request fails because of it: what `choose` or `context` raises is logged by
    type, and the Router goes on with the deployments that are up.
    """

    def __init__(
        self,
        cache: AsyncRoutingCache,
        *,
        choose: Choose | None = None,
        context: Context | None = None,
        probe: Probe | None = None,
        cooldown: float = 30.0,
        max_cooldown: float = 300.0,
        failures: int = 3,
        probe_timeout: float = 1.0,
    ) -> None:
        super().__init__()
        self.health = ProviderHealth(
            cache,
            probe=probe,
            source="litellm",
            cooldown=cooldown,
            max_cooldown=max_cooldown,
            failures=failures,
            probe_timeout=probe_timeout,
        )
        self._cache = cache
        self._choose = choose
        self._context = context
        # Where requests have failed, by the trace id that their attempts share.
        self._failed_at: dict[str, set[str]] = {}

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[dict[str, Any]]:
        """The deployments that the Router may use for this attempt: those up, or the chosen one."""
        request = request_kwargs or {}
        try:
            up = [d for d in healthy_deployments if await self.health.is_up(d["model_info"]["id"])]
            failed = self._failed_at.get(request.get("litellm_trace_id") or "", ())
            left = [d for d in up if d["model_info"]["id"] not in failed] or up
            if self._choose is None or len(left) < 2:
                return left or healthy_deployments
        except Exception as error:  # noqa: BLE001  # raised here, it would fail the request
            _told(error)
            return healthy_deployments
        try:
            return await self._chosen(model, up, left, request)
        except Exception as error:  # noqa: BLE001  # `choose` and `context` may raise anything
            _told(error)
            return left

    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Mapping[str, Any],
        exception: Exception,
        call_type: Any,
        fallback_depth: int | None = None,
    ) -> None:
        """Enter an attempt that failed; the Router waits for it before it tries again."""
        deployment = _id_of(request_data)
        failure = _failure_of(exception)
        if deployment is None or failure is None:
            return
        trace = request_data.get("litellm_trace_id")
        if isinstance(trace, str):
            self._failed_at.setdefault(trace, set()).add(deployment)
            if len(self._failed_at) > _MAX_REQUESTS:
                del self._failed_at[next(iter(self._failed_at))]
        await self.health.failed(deployment, failure)

    async def async_post_call_success_deployment_hook(
        self, request_data: dict[str, Any], response: Any, call_type: Any
    ) -> None:
        """Enter an attempt that succeeded."""
        deployment = _id_of(request_data)
        self._failed_at.pop(request_data.get("litellm_trace_id") or "", None)
        if deployment is not None:
            self.health.succeeded(deployment)

    async def _chosen(
        self,
        model: str,
        up: list[dict[str, Any]],
        left: list[dict[str, Any]],
        request: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """The chosen deployment; those `left` of `up` if the request has failed there already."""
        choose = self._choose
        assert choose is not None
        content = model if self._context is None else self._context(model, request)
        context = RequestContext(content)

        async def load() -> str:
            return await choose(content, up)

        for _ in range(2):
            chosen = await self._cache.get_model_selection(
                context, loader=load, providers=lambda chosen: (chosen,)
            )
            if any(d["model_info"]["id"] == chosen for d in up):
                return [d for d in left if d["model_info"]["id"] == chosen] or left
            # Made before its deployment went down or was removed: choose anew, once.
            await self._cache.invalidate_model_selection(context)
        return left


def _id_of(request: Mapping[str, Any]) -> str | None:
    info = request.get("model_info")
    found = info.get("id") if isinstance(info, Mapping) else None
    return found if isinstance(found, str) else None


def _failure_of(exception: Exception) -> Failure | None:
    """What LiteLLM's exception says of the deployment; each of its kinds names an HTTP status."""
    status = getattr(exception, "status_code", None)
    # Whatever LiteLLM cannot explain is an APIConnectionError, also what a request itself caused;
    # its own cooldowns leave it out as well.
    if not isinstance(status, int) or isinstance(exception, APIConnectionError):
        return None
    headers = getattr(getattr(exception, "response", None), "headers", None)
    return failure_of(status, headers.get("retry-after") if isinstance(headers, Mapping) else None)


def _told(error: Exception) -> None:
    # The text of an exception may hold keys or secrets; its type does not.
    _log.warning("routing of a LiteLLM request raised %s", type(error).__name__)
