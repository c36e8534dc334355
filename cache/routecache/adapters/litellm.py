"""`RoutingCacheCallback`: LiteLLM's Router asks routecache who is up and who was chosen."""

import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

try:
    # LiteLLM brings httpx and openai, whose errors it passes on where a stream breaks off.
    import httpx
    import litellm
    import openai
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

# Arguments by which a request asks LiteLLM to make an answer or an error up.
_MADE_UP: Final = ("mock_response", "mock_timeout")

_log = logging.getLogger("routecache")
_numbers = itertools.count(1)


class RoutingCacheCallback(CustomLogger):
    """A LiteLLM callback that narrows a Router's deployments by what routecache knows of them.

        litellm.callbacks.append(RoutingCacheCallback(cache))

    Before the Router's strategy picks, deployments whose status is down are left out, in every
    process that shares the Redis; are all down, none is left out, and the Router's own cooldowns
    decide. With `choose`, the deployment for a request is chosen once for each context and then
    taken from the cache, until its TTL ends or its deployment is reported unhealthy. Requests of
    one context whose candidates differ, as tags or access groups make them, have choices of their
    own. An attempt that failed is told of before the Router tries again, and the request is then
    sent to another deployment; how a stream ended LiteLLM tells in the background.

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
    type, what `choose` gives that is no candidate's id once, and the Router goes on with the
    deployments that are up.
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
        # LiteLLM tells of streams one callback of each class and name, for good: the first.
        self.callback_name = f"routecache-{next(_numbers)}"
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
        self._told_of_no_id = False

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
            names = [_name(d) for d in healthy_deployments]
            well = set(await self.health.those_up(names))
            up = [d for d in healthy_deployments if _name(d) in well]
            failed = list(_failed_at(request))
            left = ([d for d in up if _name(d) not in failed] or up) if failed else up
            if self._choose is None or len(left) < 2:
                return left or healthy_deployments
        except Exception as error:  # noqa: BLE001  # raised here, it would fail the request
            _told(error)
            return healthy_deployments
        try:
            chosen = await self._chosen(model, names, up, request)
        except _NoCandidateError:
            self._tell_of_no_id()
            return left
        except Exception as error:  # noqa: BLE001  # `choose` and `context` may raise anything
            _told(error)
            return left
        return [d for d in left if _name(d) == chosen] or left

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
        if deployment is not None and failure is not None:
            await self.health.failed(deployment, failure)

    async def async_post_call_success_deployment_hook(
        self, request_data: dict[str, Any], response: Any, call_type: Any
    ) -> None:
        """Enter an attempt that succeeded; LiteLLM leaves streams out."""
        deployment = _id_of(request_data)
        if deployment is not None:
            self.health.succeeded(deployment)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Enter a stream that came to its end."""
        deployment = self._streamed_by(kwargs)
        # What a cache of LiteLLM's answered says nothing of the deployment.
        if deployment is not None and kwargs.get("cache_hit") is not True:
            self.health.succeeded(deployment)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Enter a stream that broke off after it had begun."""
        deployment = self._streamed_by(kwargs)
        # What fails before, the deployment hook is told of.
        if deployment is not None and kwargs.get("completion_start_time") is not None:
            failure = _breach_of(kwargs.get("exception"))
            if failure is not None:
                await self.health.failed(deployment, failure)

    def _streamed_by(self, event: Mapping[str, Any]) -> str | None:
        """The id of the deployment whose stream a log event is about, if it is about one."""
        # LiteLLM keeps on telling of streams who is no longer one of its callbacks.
        if event.get("stream") is not True or not any(one is self for one in litellm.callbacks):
            return None
        return _id_of(event.get("litellm_params"))

    async def _chosen(
        self,
        model: str,
        names: list[str],
        up: list[dict[str, Any]],
        request: Mapping[str, Any],
    ) -> str:
        """The id of the deployment for this request among `names`, one of `up` but for races."""
        content = model if self._context is None else self._context(model, request)
        context = RequestContext(content)
        chosen = await self._choice(context, content, names, up)
        if chosen in names:
            return chosen
        # It was chosen among others and is good for these. To drop it would have two kinds of
        # requests drop each other's, in all processes, once for each request.
        among = RequestContext({"context": context.content, "candidates": sorted(names)})
        return await self._choice(among, content, names, up)

    async def _choice(
        self,
        context: RequestContext,
        content: Any,
        candidates: Sequence[str],
        up: Sequence[Deployment],
    ) -> str:
        """What is chosen for `context`; it may be none of the `candidates`."""
        choose = self._choose
        assert choose is not None

        async def load() -> str:
            chosen = await choose(content, up)
            if not any(_name(d) == chosen for d in up):
                raise _NoCandidateError
            return chosen

        chosen = ""
        for _ in range(2):
            chosen = await self._cache.get_model_selection(
                context, loader=load, providers=lambda chosen: (chosen,)
            )
            if chosen not in candidates or any(_name(d) == chosen for d in up):
                break
            # Made before its deployment went down: choose anew, once.
            await self._cache.invalidate_model_selection(context)
        return chosen

    def _tell_of_no_id(self) -> None:
        if not self._told_of_no_id:
            self._told_of_no_id = True
            _log.warning("`choose` gave what is no deployment's model_info.id; told once")


class _NoCandidateError(Exception):
    """`choose` gave something else than the id of one of the deployments that it was given."""


def _name(deployment: Deployment) -> str:
    name: str = deployment["model_info"]["id"]
    return name


def _id_of(request: object) -> str | None:
    """The id of the deployment that an attempt went to, if the attempt tells anything of it."""
    if not isinstance(request, Mapping) or any(request.get(key) is not None for key in _MADE_UP):
        return None
    info = request.get("model_info")
    # With credentials of the caller's own the Router makes an id up for each of them; what happens
    # there is between the caller and the provider.
    if not isinstance(info, Mapping) or info.get("original_model_id") is not None:
        return None
    found = info.get("id")
    return found if isinstance(found, str) else None


def _failed_at(request: Mapping[str, Any]) -> Iterator[str]:
    """The deployments at which this very request has failed: the Router's own record of it.

    A trace id would not do: all requests of a session may share one.
    """
    for field in ("metadata", "litellm_metadata"):
        metadata = request.get(field)
        records = metadata.get("previous_models") if isinstance(metadata, Mapping) else None
        for record in records if isinstance(records, list | tuple) else ():
            found = record.get("deployment_id") if isinstance(record, Mapping) else None
            if isinstance(found, str):
                yield found


def _failure_of(exception: object) -> Failure | None:
    """What LiteLLM's exception says of the deployment; each of its kinds names an HTTP status."""
    status = getattr(exception, "status_code", None)
    # Whatever LiteLLM cannot explain is an APIConnectionError, also what a request itself caused;
    # its own cooldowns leave it out as well.
    if not isinstance(status, int) or isinstance(exception, APIConnectionError):
        return None
    headers = getattr(getattr(exception, "response", None), "headers", None)
    wait = headers.get("retry-after") if isinstance(headers, Mapping) else None
    return failure_of(status, wait if isinstance(wait, str) else None)


def _breach_of(exception: object) -> Failure | None:
    """What it says of the deployment that a stream broke off with `exception`."""
    if getattr(exception, "status_code", None) is not None:
        return _failure_of(exception)
    if isinstance(exception, httpx.TimeoutException | openai.APITimeoutError):
        return Failure("timeout")
    # Other errors without a status may be the request's: a content filter tells so in the stream.
    lost = isinstance(exception, httpx.TransportError | openai.APIConnectionError)
    return Failure("error") if lost else None


def _told(error: Exception) -> None:
    # The text of an exception may hold keys or secrets; its type does not.
    _log.warning("routing of a LiteLLM request raised %s", type(error).__name__)
