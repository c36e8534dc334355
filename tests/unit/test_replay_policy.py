"""The routing policy: pure, sensible, and telling contexts apart."""

import pytest

from routecache_exporters.replay import policy


@pytest.mark.parametrize(
    ("tokens", "size"),
    [(10, "small"), (4096, "small"), (4097, "medium"), (60_000, "large"), (10**9, "xl")],
)
def test_the_smallest_model_that_holds_twice_the_request(tokens: int, size: str) -> None:
    answer = policy.model_selection({"task": "chat", "ContextTokens": tokens})
    assert str(answer["model"]).endswith(f"/{size}")


def test_answers_name_their_context_so_that_a_mix_up_shows() -> None:
    answers = [policy.model_selection({"tokens": n}) for n in range(1000)]
    assert len({str(answer["reason"]) for answer in answers}) == 1000


def test_the_order_of_columns_does_not_matter() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert policy.model_selection(one)["reason"] == policy.model_selection(other)["reason"]
    assert policy.fallback_chain(one) == policy.fallback_chain(other)


def test_a_fallback_chain_leaves_out_the_selected_model_and_repeats_none() -> None:
    for n in range(200):
        context: dict[str, object] = {"tokens": n * 100}
        chain = policy.fallback_chain(context)
        assert policy.model_selection(context)["model"] not in chain
        assert len(set(chain)) == len(chain)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ReadFile", "read_file"),
        ("read-file", "read_file"),
        ("mcp__fs__read_file", "read_file"),
        ("search web", "web_search"),
        ("web.fetch", "web_fetch"),
        ("ImageGenTool", "image_gen"),
        ("SQLQuery", "sql_query"),
        (" Bash ", "bash"),
        ("execute_bash", "bash"),
        ("---", "unknown"),
        ("", "unknown"),
    ],
)
def test_tool_names(spelling: str, name: str) -> None:
    assert policy.normalized_tool(spelling) == name


def test_canonical_tool_names_stay_themselves() -> None:
    names = {policy.normalized_tool(spelling) for spelling in policy.SPELLINGS}
    assert {policy.normalized_tool(name) for name in names} == names


def test_provider_status() -> None:
    assert policy.provider_status("openai")["healthy"] is True
    assert policy.provider_status("DeepSeek")["healthy"] is False
    assert 1 <= int(str(policy.provider_status("acme")["weight"])) <= 100


def test_answers_name_the_providers_that_they_depend_on() -> None:
    context = {"tokens": 7}
    model = policy.model_selection(context)
    assert policy.providers_of_model(model) == (str(model["model"]).split("/")[0],)
    chain = policy.providers_of_chain(policy.fallback_chain(context))
    assert len(chain) == len(set(chain)) == len(policy.PROVIDERS) - 1
