"""RequestContext: the same entries as its content, hashed once."""

import copy
import pickle
import threading
from typing import Any

import pytest

from routecache import KeyTypeError, RequestContext, RoutingCache, RoutingSettings
from routecache.keys import digest
from routecache.routing import request_context

CONTENT = {"task": "chat", "tokens": 512, "tools": ["search", "code"]}


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was digested, in this order."""
    seen: list[object] = []

    def counted(context: object) -> str:
        seen.append(context)
        return digest(context)

    monkeypatch.setattr(request_context, "digest", counted)
    return seen


def test_its_key_is_the_digest_of_its_content() -> None:
    assert RequestContext(CONTENT).key == digest(CONTENT)
    assert RequestContext(CONTENT).content is CONTENT
    assert RequestContext(RequestContext(CONTENT)).content is CONTENT


def test_nothing_is_digested_before_the_first_look_up_and_once_for_all(
    digests: list[object],
) -> None:
    request = RequestContext(CONTENT)
    assert digests == []
    with RoutingCache(RoutingSettings(enable_redis=False)) as cache:
        for _ in range(3):
            cache.get_model_selection(request, loader=lambda: "m")
            cache.get_fallback_chain(request, loader=lambda: ["m"])
        cache.set_model_selection(request, "n")
        cache.invalidate_fallback_chain(request)
        assert len(digests) == 1
        cache.get_model_selection(CONTENT)
        cache.get_fallback_chain(CONTENT)
        assert len(digests) == 3, "a plain context is digested for every look-up"


def test_it_cannot_be_changed() -> None:
    request: Any = RequestContext(CONTENT)
    for name in ("content", "key", "more"):
        with pytest.raises(AttributeError):
            setattr(request, name, 1)
        with pytest.raises(AttributeError):
            delattr(request, name)
    assert request.content is CONTENT
    assert request.key == digest(CONTENT)


def test_two_of_the_same_meaning_are_equal_and_hash_alike() -> None:
    same = {"tools": ("search", "code"), "tokens": 512, "task": "chat"}
    assert RequestContext(CONTENT) == RequestContext(same)
    assert len({RequestContext(CONTENT), RequestContext(same), RequestContext({})}) == 2
    assert RequestContext(CONTENT) != digest(CONTENT)
    assert RequestContext(CONTENT) != CONTENT


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_a_copy_and_a_pickle_carry_the_content_and_no_digest(twin: Any) -> None:
    request = RequestContext({"task": "chat"})
    assert request.key.encode() not in pickle.dumps(request)
    made = twin(request)
    assert made._key is None
    assert made == request


def test_its_repr_shows_neither_content_nor_key() -> None:
    request = RequestContext({"user": "secret-1842"})
    assert request.key not in repr(request)
    assert repr(request) == "<RequestContext of a dict>"


def test_a_content_without_a_canonical_form_is_refused_at_each_look_up() -> None:
    request = RequestContext({"session": object()})
    for _ in range(2):
        with pytest.raises(KeyTypeError, match=r'context\["session"\] is of type object'):
            request.key  # noqa: B018  # a property that raises


def test_threads_that_ask_first_at_once_get_one_key() -> None:
    for _ in range(20):
        request, keys = RequestContext(CONTENT), list[str]()
        barrier = threading.Barrier(4)

        def ask(
            request: RequestContext = request,
            keys: list[str] = keys,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait(10)
            keys.append(request.key)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert keys == [digest(CONTENT)] * 4
