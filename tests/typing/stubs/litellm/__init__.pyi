# What routecache uses of LiteLLM, which is not in the environment that checks types. The suite of
# the gateways compares it with the real package.
from collections.abc import Sequence
from typing import Any

callbacks: list[Any]

class Router:
    def __init__(
        self,
        model_list: list[dict[str, Any]] | None = None,
        *,
        num_retries: int | None = None,
        timeout: float | None = None,
        cooldown_time: float | None = None,
        disable_cooldowns: bool | None = None,
    ) -> None: ...
    async def acompletion(
        self, model: str, messages: Sequence[Any], stream: bool = False, **kwargs: Any
    ) -> Any: ...
