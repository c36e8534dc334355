"""What docs/migration shows is run: every block marked after, against a Redis of the test's own."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from routecache import RoutingCache, RoutingLoaders, RoutingSettings
from tests.pages_code import ROOT, Block, blocks
from tests.topologies import One

PAGES = sorted((ROOT / "docs/migration").glob("*.md"))
AFTER = [block for page in PAGES for block in blocks(page, "python after")]
BEFORE = [block for page in PAGES for block in blocks(page, "python before")]
RUN = [*AFTER, *(block for block in BEFORE if block.page.name == "ttlcache.md")]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with One() as topology:
        yield topology.servers[0].port


@pytest.fixture(autouse=True)
def empty_redis(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in Redis, and the environment that a block reads."""
    redis.Redis(port=port).flushall()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")


def given(port: int) -> dict[str, Any]:
    """What the pages take for granted: the reader's own functions."""

    async def fetch_price(model: str) -> dict[str, Any]:
        return {"model": model, "in": 1.25}

    return {
        "__name__": "page",
        "choose_model": lambda context: {"provider": "openai", "model": str(len(context))},
        "normalize": str.lower,
        "fetch_price": fetch_price,
        "redis_url": f"redis://127.0.0.1:{port}/0",
    }


@pytest.mark.parametrize("block", RUN, ids=str)
def test_the_code_runs_and_its_assertions_hold(block: Block, port: int) -> None:
    """In a process of its own: counters belong to a name, and pages share names."""
    code = (
        f"from tests.pages_code import run; from {__name__} import RUN, given; "
        f"run([RUN[{RUN.index(block)}]], given({port}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", BEFORE, ids=str)
def test_the_code_of_other_caches_is_python(block: Block) -> None:
    assert ast.parse(block.text).body


def test_every_page_shows_a_before_and_an_after() -> None:
    pages = {page.name for page in PAGES} - {"README.md"}
    assert {block.page.name for block in BEFORE} == {block.page.name for block in AFTER} == pages
    assert len(pages) == 5


def test_the_index_links_every_page() -> None:
    index = (ROOT / "docs/migration/README.md").read_text()
    assert all(f"]({page.name})" in index for page in PAGES if page.name != "README.md")


def test_the_commands_find_and_delete_what_phase_1_left_and_nothing_else(
    port: int,
) -> None:
    server = redis.Redis(port=port)
    old = [f"routing:model:{i}" for i in range(3)] + ["routing:provider:openai"]
    for key in old:
        server.set(key, "old")
    with RoutingCache(RoutingSettings(redis_url=f"redis://127.0.0.1:{port}/0")) as cache:
        cache.set_provider_status("openai", "up")
        cache.get_fallback_chain({"tokens": 1}, loader=lambda: ["a"], providers=("openai",))
        cache.invalidate_provider("mistral")
        cache.warm(providers=["mistral"], loaders=RoutingLoaders(provider=lambda _: "up"))
        (block,) = blocks(ROOT / "docs/migration/phase-1.md", "sh")
        count, delete = block.text.strip().split("\n")
        assert _sh(count, port).strip() == "4"
        kinds = {kind: server.keys(f"routing:*:{kind}:*") for kind in ("v1", "tag", "warmed")}
        # Two statuses and a chain; a tag of each of two caches; the end of a warm-up.
        assert {kind: len(keys) for kind, keys in kinds.items()} == {"v1": 3, "tag": 2, "warmed": 1}
        ours = {key for keys in kinds.values() for key in keys}
        _sh(delete, port)
        assert server.exists(*ours) == len(ours)
        assert not server.exists(*old)


def _sh(line: str, port: int) -> str:
    """Run a line as pasted, its redis-cli told where the test's Redis is."""
    script = f'redis-cli() {{ command redis-cli -p {port} "$@"; }}\n{line}'
    script = script.replace("redis-cli unlink", f"redis-cli -p {port} unlink")  # xargs' own
    return subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, text=True, timeout=30
    ).stdout
