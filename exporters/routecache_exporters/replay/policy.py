"""The small routing policy whose answers the replay and the demo cache.

It stands for the router's own code: what it answers matters less than that it is a pure function,
so that every answer of a cache can be compared with the policy's own.

    model selection   the smallest model whose window holds twice the request (room for the
                      answer), of the provider that the digest of the context picks. The request's
                      size is the context's first numeric column whose name has `token` in it, else
                      its first number, else 0.
    fallback chain    the other providers' models of the same size, rotated by the digest of the
                      context, then the largest model of the first of them.
    provider status   healthy unless the name is on the small list of degraded ones, with a weight
                      from the digest of the name.
    tool name         the canonical spelling: camelCase, spaces, dots and hyphens become
                      snake_case, an `mcp__server__` prefix and a `_tool` suffix go, known
                      synonyms are replaced.

A log without `provider` or `tool` columns gets both from the digest of the row's text, skewed as
traffic is (the first provider has half of it, the next a quarter, ...), so that the same
row always asks the same questions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

Context: TypeAlias = Mapping[str, object]
Answer: TypeAlias = dict[str, object]

PROVIDERS = ("anthropic", "openai", "google", "mistral", "cohere", "deepseek")
_DEGRADED = frozenset({"deepseek"})

_SIZES = (("small", 8_192), ("medium", 32_768), ("large", 131_072), ("xl", 1_048_576))

_MAX_TEXT = 400

_SYNONYMS = {
    "shell": "bash",
    "terminal": "bash",
    "run_command": "bash",
    "execute_bash": "bash",
    "open_file": "read_file",
    "cat": "read_file",
    "view": "read_file",
    "save_file": "write_file",
    "create_file": "write_file",
    "search_web": "web_search",
    "google": "web_search",
    "fetch": "web_fetch",
    "browse": "web_fetch",
    "python": "run_python",
    "code_interpreter": "run_python",
    "ripgrep": "grep",
    "search_files": "grep",
}

SPELLINGS = (
    "bash", "Bash", "shell", "execute_bash", "ReadFile", "read_file", "cat", "mcp__fs__read_file",
    "WriteFile", "write-file", "web_search", "WebSearch", "search web", "web.fetch", "browse",
    "grep", "ripgrep", "python", "code_interpreter", "RunPython", "calculator_tool", "send_email",
    "mcp__github__create_issue", "mcp__github__list_pulls", "SQLQuery", "sql-query", "translate",
    "image_gen", "ImageGenTool", "calendar",
)  # fmt: skip
"""Tool names as clients write them, for logs that have none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks the router about. `at` is its arrival in seconds, if it is known."""

    context: Context
    provider: str
    tool: str
    at: float | None = None


def provider_status(provider: str) -> Answer:
    """Is this provider up, and what share of traffic may it get (1 to 100)?"""
    return {
        "provider": provider,
        "healthy": provider.lower() not in _DEGRADED,
        "weight": _digest(provider) % 100 + 1,
    }


def model_selection(context: Context) -> Answer:
    """Which model fits this request, and why."""
    size, window = _fitting(context)
    return {
        "model": f"{PROVIDERS[_digest(_text(context)) % len(PROVIDERS)]}/{size}",
        "window": window,
        "reason": f"{size} holds twice what is asked by {_text(context)}",
    }


def fallback_chain(context: Context) -> list[str]:
    """Which models to try, in this order, when the selected one fails."""
    text = _text(context)
    first = _digest(text)
    size, _ = _fitting(context)
    others = [PROVIDERS[(first + i) % len(PROVIDERS)] for i in range(1, len(PROVIDERS))]
    return [*(f"{provider}/{size}" for provider in others), f"{others[0]}/{_SIZES[-1][0]}"]


def normalized_tool(tool: str) -> str:
    """The canonical name of a tool, however the client spells it."""
    name = re.sub(r"^mcp__.+?__", "", tool.strip())
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    name = re.sub(r"[\s.\-_]+", "_", name).strip("_")
    name = name.removesuffix("_tool")
    return _SYNONYMS.get(name, name) or "unknown"


def providers_of_model(answer: object) -> tuple[str, ...]:
    """The provider that a model selection depends on; its health report invalidates the answer."""
    if not isinstance(answer, dict):
        return ()
    return (str(answer["model"]).partition("/")[0],)


def providers_of_chain(answer: object) -> tuple[str, ...]:
    """The providers that a fallback chain depends on."""
    if not isinstance(answer, list):
        return ()
    return tuple({str(model).partition("/")[0]: None for model in answer})


def derived_provider(text: str) -> str:
    """The provider that a row without one asks about: half the rows the first, and so on."""
    bits = _digest("provider " + text) | 1 << (len(PROVIDERS) - 1)
    return PROVIDERS[(bits & -bits).bit_length() - 1]


def derived_tool(text: str) -> str:
    """The tool that a row without one asks about, spelt in one of several ways."""
    draw = _digest("tool " + text) / 2**64
    return SPELLINGS[int(draw * draw * len(SPELLINGS))]


def _fitting(context: Context) -> tuple[str, int]:
    needed = 2 * _size(context)
    for size, window in _SIZES:
        if window >= needed:
            return size, window
    return _SIZES[-1]


def _size(context: Context) -> float:
    numbers = {
        column: value
        for column, value in context.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    named = (value for column, value in numbers.items() if "token" in column.lower())
    return next(named, next(iter(numbers.values()), 0))


def _text(context: Context) -> str:
    """The context in words: ASCII and short whatever the log holds, and told apart from others."""
    text = ", ".join(f"{column}={value!r}" for column, value in sorted(context.items()))
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}... ({_digest(text):016x})"


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest())
