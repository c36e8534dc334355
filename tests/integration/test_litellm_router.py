"""The callback with LiteLLM's real Router, in one process (tests/litellm_run.py)."""

import json
import subprocess
from typing import Any

import pytest

from tests.commands import environment
from tests.gateways import LITELLM_PYTHON, ROOT, serving

pytestmark = pytest.mark.needs("litellm")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scenarios saw."""
    log = tmp_path_factory.mktemp("stubs") / "log"
    more = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": f"{ROOT / 'cache'}:{ROOT / 'exporters'}",
    }
    with serving("stub_providers:app", log) as stubs:
        ran = subprocess.run(
            [LITELLM_PYTHON, ROOT / "tests" / "litellm_run.py", stubs],
            env=environment(more),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_streamed_success_between_failures_begins_them_anew(seen: dict[str, Any]) -> None:
    assert seen["streams"] == {
        "answers": ["InternalServerError", "alpha", True] * 3,
        "up": True,
        "up after two in a row": False,
    }


def test_streams_that_a_deployment_breaks_off_take_it_down(seen: dict[str, Any]) -> None:
    assert seen["broken"] == {
        "answers": ["APIConnectionError"] * 2,
        "up after one": True,
        "up after two": False,
    }


def test_streams_that_their_caller_leaves_take_no_deployment_down(seen: dict[str, Any]) -> None:
    assert seen["left_alone"] == {"answer": "alpha", "told": True, "up": True}


def test_an_error_that_a_request_makes_up_takes_no_deployment_down(seen: dict[str, Any]) -> None:
    assert seen["made_up"] == {"answers": ["RateLimitError"], "up": True}


def test_what_fails_with_a_key_of_the_requests_own_is_no_failure_of_a_deployment(
    seen: dict[str, Any],
) -> None:
    assert seen["own_key"] == {"up": True, "reported": {}}


def test_a_failure_keeps_no_later_request_of_its_session_away(seen: dict[str, Any]) -> None:
    assert seen["session"] == ["InternalServerError", "alpha"]


def test_a_request_that_is_tried_again_goes_to_another_deployment(seen: dict[str, Any]) -> None:
    assert seen["retry"] == {"answer": "beta", "at alpha": 1}
