"""The gateways of docs/examples as processes, with stub providers that fail when told to."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx

from tests.commands import environment
from tests.helpers import eventually
from tests.servers import RedisServer

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
LITELLM_PYTHON = ROOT / ".venv-litellm" / "bin" / "python"

PROVIDERS = ("alpha", "beta", "gamma")
TIMEOUT = 0.5
COOLDOWN = 0.5

Kind: TypeAlias = Literal["fastapi", "litellm"]
_PYTHON: Mapping[Kind, str] = {"fastapi": sys.executable, "litellm": str(LITELLM_PYTHON)}

_users = itertools.count()


@contextmanager
def serving(
    application: str,
    log: Path,
    *,
    python: str = sys.executable,
    folders: Sequence[Path] = (EXAMPLES,),
    env: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The address of `application` (module:name), which uvicorn serves in a process of its own."""
    path = os.pathsep.join(map(str, (*folders, ROOT / "cache", ROOT / "exporters", ROOT)))
    command = "-m uvicorn --port 0 --no-access-log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, *command.split(), application],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment({"PYTHONPATH": path, **(env or {})}),
        )

    def address() -> str:
        text = log.read_text(errors="replace")
        assert process.poll() is None, text
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", text)
        return found[1] if found else ""

    try:
        yield eventually(address, seconds=60)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gateway answered, and who it says was asked."""

    status: int
    content: str
    retry_after: str | None
    body: Any


@dataclass(slots=True)
class Gateway:
    """One gateway process."""

    address: str
    log: Path
    http: httpx.Client = field(repr=False)

    def ask(self, user: str | None = None, **more: Any) -> Answer:
        """Send a chat request of a user who never asked before, or of `user`."""
        request = {
            "model": "chat",
            "user": f"user-{next(_users)}" if user is None else user,
            "messages": [{"role": "user", "content": "hello"}],
            **more,
        }
        answer = self.http.post(f"{self.address}/v1/chat/completions", json=request)
        body: Any = answer.text if more.get("stream") else answer.json()
        content = ""
        if answer.status_code == 200 and not more.get("stream"):
            content = body["choices"][0]["message"]["content"]
        return Answer(answer.status_code, content, answer.headers.get("retry-after"), body)

    def who(self, requests: int) -> list[str]:
        """Who answered `requests` requests, each of a new user; all of them were answered."""
        answers = [self.ask() for _ in range(requests)]
        assert {answer.status for answer in answers} == {200}, answers
        return [answer.content for answer in answers]

    def uses(self, *providers: str) -> bool:
        """Whether exactly these are asked for twelve new users."""
        return set(self.who(12)) == {*providers}

    def page(self, path: str) -> str:
        answer = self.http.get(self.address + path)
        assert answer.status_code == 200
        return answer.text


@dataclass(slots=True)
class Fleet:
    """Two gateways of a kind, that share a Redis and three providers."""

    kind: Kind
    gateways: tuple[Gateway, Gateway]
    redis: RedisServer
    stubs: str
    http: httpx.Client = field(repr=False)

    def mode(self, provider: str, mode: str) -> None:
        """Have `provider` answer (ok), fail, be slow or limit the rate from now on."""
        self.http.post(f"{self.stubs}/{provider}/mode", json={"mode": mode}).raise_for_status()

    def calls(self, provider: str, what: str = "chat") -> int:
        """How many requests or probes reached `provider` until now."""
        count: int = self.http.get(f"{self.stubs}/calls").json().get(provider, {}).get(what, 0)
        return count

    def all_up(self) -> None:
        """Have all providers answer, and wait until both gateways use all of them again."""
        for provider in PROVIDERS:
            self.mode(provider, "ok")
        for gateway in self.gateways:
            eventually(partial(gateway.uses, *PROVIDERS), seconds=30)


@contextmanager
def fleet(kind: Kind, folder: Path) -> Iterator[Fleet]:
    """A fleet of `kind` whose logs are in `folder`."""
    with ExitStack() as stack:
        http = stack.enter_context(httpx.Client(timeout=30))
        redis = stack.enter_context(RedisServer())
        stubs = stack.enter_context(serving("stub_providers:app", folder / "stubs.log"))
        env = settings(redis.url, {name: f"{stubs}/{name}" for name in PROVIDERS})
        gateways = [
            Gateway(
                stack.enter_context(
                    serving(f"{kind}_gateway:app", log, python=_PYTHON[kind], env=env)
                ),
                log,
                http,
            )
            for log in (folder / "first.log", folder / "second.log")
        ]
        yield Fleet(kind, (gateways[0], gateways[1]), redis, stubs, http)


def settings(redis_url: str, providers: Mapping[str, str]) -> dict[str, str]:
    """The environment of a gateway process."""
    return {
        "REDIS_URL": redis_url,
        "GATEWAY_PROVIDERS": ",".join(f"{name}={url}" for name, url in providers.items()),
        "GATEWAY_TIMEOUT": str(TIMEOUT),
        "GATEWAY_COOLDOWN": str(COOLDOWN),
        # Otherwise importing LiteLLM asks the internet for prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def events(stream: str) -> list[Any]:
    """The JSON of a stream's events, without the mark of its end."""
    data = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data:")]
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]]
