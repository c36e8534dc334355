"""The blocks of docs/routers.md, as they are, with the real packages."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.commands import environment
from tests.gateways import LITELLM_PYTHON, ROOT, serving
from tests.servers import RedisServer

PAGE = (ROOT / "docs" / "routers.md").read_text(encoding="utf-8")
FASTAPI, HEALTH, LITELLM = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_fastapi_block_serves_the_cache_and_the_pages(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    (tmp_path / "block.py").write_text(FASTAPI, encoding="utf-8")
    env = {"REDIS_URL": redis_server.url}
    with serving("block:app", tmp_path / "log", folders=(tmp_path,), env=env) as address:
        assert httpx.get(f"{address}/tools/Web-Search").json() == "web_search"
        assert httpx.get(f"{address}/tools/Other").json() == "other"
        assert 'routecache_hits_total{cache="tool"' in httpx.get(f"{address}/ops/metrics").text


def _output(python: str, block: str, redis: RedisServer) -> str:
    path = f"{ROOT / 'cache'}:{ROOT / 'exporters'}"
    more = {
        "REDIS_URL": redis.url,
        "PYTHONPATH": path,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    ran = subprocess.run(
        [python, "-c", block], env=environment(more), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_health_block_runs(redis_server: RedisServer) -> None:
    assert _output(sys.executable, HEALTH, redis_server) == ""


@pytest.mark.needs("litellm")
def test_the_litellm_block_is_answered_by_one_of_its_deployments(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with serving("stub_providers:app", tmp_path / "log") as stubs:
        block = LITELLM.replace("http://127.0.0.1:9000", stubs)
        assert stubs in block
        answered = _output(str(LITELLM_PYTHON), block, redis_server).split()
    assert answered in (["alpha"], ["beta"])


def test_the_page_names_the_release_that_is_pinned() -> None:
    pins = (ROOT / "requirements" / "litellm.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^litellm==(\S+)", pins, re.MULTILINE)
    assert pinned
    assert f"LiteLLM {pinned[1]}," in PAGE
