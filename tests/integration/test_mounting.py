"""The blocks of docs/mounting.md, as they are, with the real frameworks and servers."""

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from routecache.errors import ConfigurationError
from routecache_exporters.http import mount_asgi, mount_wsgi
from tests.commands import environment

DOCS = Path(__file__).parents[2] / "docs" / "mounting.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
FASTAPI, STARLETTE, FLASK, DJANGO_WSGI, DJANGO_ASGI = BLOCKS

UVICORN = "-m uvicorn --port 0 --no-access-log"
# Django has no server of its own for an application that is wrapped.
WSGIREF = """
import sys
from importlib import import_module
from wsgiref.simple_server import make_server
server = make_server("127.0.0.1", 0, import_module(sys.argv[1]).application)
print(f"running on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""

OWN = {
    FASTAPI: '\n@app.get("/own")\ndef own():\n    return "own"\n',
    STARLETTE: "\nfrom starlette.responses import PlainTextResponse\n"
    'app.add_route("/own", lambda request: PlainTextResponse("own"))\n',
    FLASK: '\n@app.get("/own")\ndef own():\n    return "own"\n',
}
"""A page of the application itself, added to the block."""


@contextmanager
def running(folder: Path, *command: str) -> Iterator[int]:
    """The port of a server that runs in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", *command],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({"PYTHONPATH": str(folder)}),
    )
    assert process.stderr is not None
    try:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if found := re.search(r"[Rr]unning on http://127\.0\.0\.1:(\d+)", line):
                yield int(found[1])
                break
        else:
            raise AssertionError("".join(seen))
    finally:
        process.terminate()
        process.stderr.close()
        process.wait(10)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    """Status, type and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()


def check(port: int, own: tuple[str, bytes]) -> None:
    """The pages are at /ops, and the application is where it was."""
    status, kind, body = ask(port, "/ops/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert body.count(b"# TYPE routecache_build_info gauge") == 1
    assert ask(port, "/ops/metrics", Accept="application/openmetrics-text")[2].endswith(b"# EOF\n")
    selected = ask(port, "/ops/metrics?name[]=routecache_build_info")[2]
    assert selected.count(b"\n") == 3
    assert ask(port, "/ops/metrics", "HEAD")[::2] == (200, b"")
    assert ask(port, "/ops/metrics", "POST")[0] == 405
    assert ask(port, "/ops/-/healthy")[0] == 200
    assert ask(port, "/ops/nothing")[0] == 404
    assert ask(port, "/opsmetrics")[0] == 404
    status, _, page = ask(port, "/ops/")
    assert (status, b"routecache" in page) == (200, True)
    for link in re.findall(rb'href="([^"#:]+)"', page):
        assert ask(port, f"/ops/{link.decode()}")[0] in (200, 503), link
    path, text = own
    status, _, body = ask(port, path)
    assert (status, text in body) == (200, True)


@pytest.mark.parametrize(
    ("block", "server"),
    [(FASTAPI, f"{UVICORN} web:app"), (STARLETTE, f"{UVICORN} web:app"),
     (FLASK, "-m flask --app web run --port 0")],
    ids=["FastAPI", "Starlette", "Flask"],
)  # fmt: skip
def test_a_mounted_exporter_is_served_beside_the_application(
    tmp_path: Path, block: str, server: str
) -> None:
    (tmp_path / "web.py").write_text(block + OWN[block])
    with running(tmp_path, *server.split()) as port:
        check(port, ("/own", b"own"))


@pytest.mark.parametrize(
    ("block", "file", "server"),
    [(DJANGO_WSGI, "wsgi.py", ["-c", WSGIREF, "mysite.wsgi"]),
     (DJANGO_ASGI, "asgi.py", f"{UVICORN} mysite.asgi:application".split())],
    ids=["WSGI", "ASGI"],
)  # fmt: skip
def test_a_django_project_serves_the_exporter_beside_its_own_pages(
    tmp_path: Path, block: str, file: str, server: list[str]
) -> None:
    """In a project as Django makes it."""
    start = [sys.executable, "-m", "django", "startproject", "mysite", str(tmp_path)]
    subprocess.run(start, check=True, timeout=60)
    (tmp_path / "mysite" / file).write_text(block)
    with running(tmp_path, *server) as port:
        check(port, ("/admin/login/", b"Django"))


def test_each_block_is_five_lines_of_its_own() -> None:
    """Imports of the framework, of us, and what is done with them."""
    for block in BLOCKS:
        assert len([line for line in block.splitlines() if line.strip()]) <= 5


@pytest.mark.parametrize("path", ["", "/", "ops", "/ops/"])
def test_what_is_no_path_to_mount_at(path: str) -> None:
    for mount in (mount_wsgi, mount_asgi):
        with pytest.raises(ConfigurationError, match="give one like /ops"):
            mount(lambda *_: None, path)  # type: ignore[arg-type]
