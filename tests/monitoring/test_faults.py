"""Two faults on the real stack, shorter than `make faults` puts them in."""

import pytest

from bench.faults.table import FAULTS
from bench.faults.wave import Phases, run


@pytest.mark.needs("redis-server", "prometheus", "prometheus-alertmanager",
                   "prometheus-redis-exporter")  # fmt: skip
def test_two_faults_are_told_and_nothing_else() -> None:
    """Each by its own alert, and the healthy and the idle lane are silent."""
    names = ("redis_stop", "exporter_stopped")
    said: list[str] = []
    result = run(
        {name: FAULTS[name] for name in names},
        Phases(healthy=12.0, fault=25.0, recovery=2.0),
        said.append,
    )
    assert {name: result.verdicts[name].problems for name in names} == dict.fromkeys(names, ())
    assert result.noise == []
    assert {alert for name in names for alert in FAULTS[name].alerts} <= {
        alert for verdict in result.verdicts.values() for alert in verdict.fired
    }
