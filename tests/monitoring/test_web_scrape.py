"""Prometheus itself scrapes over TLS, with a client's certificate and a password."""

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from prometheus_client import CollectorRegistry

from routecache_exporters.http import start_http_server
from tests.certificates import Authority
from tests.helpers import eventually

JOBS = {
    "right": ("client", "secret"),
    "wrong-password": ("client", "guess"),
    "wrong-authority": ("stranger", "secret"),
}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """The URL of a Prometheus with the jobs."""
    jobs = [
        {
            "job_name": name,
            "scheme": "https",
            "tls_config": {
                "ca_file": str(folder / "ca.pem"),
                "cert_file": str(folder / f"{pair}.pem"),
                "key_file": str(folder / f"{pair}.key"),
            },
            "basic_auth": {"username": "prometheus", "password": password},
            "static_configs": [{"targets": [target]}],
        }
        for name, (pair, password) in JOBS.items()
    ]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [
            "prometheus", f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def targets(url: str) -> dict[str, dict[str, Any]]:
    """All targets by job, or nothing while one of them is still to be scraped."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/targets", timeout=5) as answer:
            active = json.load(answer)["data"]["activeTargets"]
    except OSError:
        return {}
    scraped = {t["labels"]["job"]: t for t in active if t["health"] != "unknown"}
    return scraped if len(scraped) == len(JOBS) else {}


@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_with_certificate_and_password(tmp_path: Path) -> None:
    """And without the right ones it is told what is wrong."""
    authority = Authority(tmp_path)
    authority.issue("server")
    authority.issue("client")
    Authority(tmp_path, "another").issue("stranger")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode()
    file = tmp_path / "web.yml"
    file.write_text(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
        f"basic_auth_users:\n  prometheus: {hashed}\n"
    )
    with (
        start_http_server(port=0, registry=CollectorRegistry(), config_file=file) as server,
        prometheus(tmp_path, f"127.0.0.1:{server.port}") as url,
    ):
        seen = eventually(lambda: targets(url), 60)
    assert (seen["right"]["health"], seen["right"]["lastError"]) == ("up", "")
    assert "401 Unauthorized" in seen["wrong-password"]["lastError"]
    assert "certificate" in seen["wrong-authority"]["lastError"]
