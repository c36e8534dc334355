"""Users, headers, the rate limit, and files that change, without TLS."""

import base64
import http.client
import logging
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from prometheus_client import CollectorRegistry

from routecache.errors import ConfigurationError
from routecache_exporters.http import Site, start_http_server
from routecache_exporters.web.answers import Response
from routecache_exporters.web.auth import MAX_CHECKS, REMEMBERED, BasicAuth, OverloadedError
from routecache_exporters.web.config_file import RateLimit, parse
from routecache_exporters.web.security import Security

FILE = Path("web.yml")


def hashed(password: bytes, cost: int = 4) -> bytes:
    """As htpasswd writes it: its version is called 2y."""
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).replace(b"$2b$", b"$2y$")


def basic(user: bytes, password: bytes) -> str:
    return "Basic " + base64.b64encode(user + b":" + password).decode()


class Checks:
    """bcrypt.checkpw that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []

    def __call__(self, password: bytes, hash_: bytes) -> bool:
        self.asked.append((password, hash_))
        return bcrypt.checkpw(password, hash_)


USERS = {b"ann": hashed(b"secret"), b"bob": hashed("pässword".encode(), 5), b"": hashed(b"x")}


RIGHT = basic(b"ann", b"secret")


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [
        (basic(b"ann", b"secret"), True),
        (basic(b"bob", "pässword".encode()), True),
        (basic(b"", b"x"), True),
        (basic(b"ann", b"secret").replace("Basic", "bAsIc "), True),
        (basic(b"ann", b"secre"), False),
        (basic(b"ann", b"secret\0"), False),
        (basic(b"ann", b""), False),
        (basic(b"bob", b"secret"), False),
        (basic(b"eve", b"secret"), False),
        (basic(b"ann", b"x" * 100_000), False),
        ("Basic " + base64.b64encode(b"ann").decode(), False),
        ("Basic ann:secret", False),
        ("Basic \xff", False),
        ("Bearer x", False),
        ("", False),
    ],
)
def test_who_is_let_in(authorization: str, allowed: bool) -> None:
    """The scheme's name is of any case; all else has to be right to the byte."""
    auth = BasicAuth()
    assert auth.allows(USERS, authorization) is allowed
    assert auth.allows(USERS, authorization) is allowed


def test_only_the_first_72_bytes_of_a_password_count() -> None:
    """As everywhere with bcrypt, whose newer packages would raise."""
    users = {b"ann": hashed(b"x" * 72)}
    assert BasicAuth().allows(users, basic(b"ann", b"x" * 80))
    assert not BasicAuth().allows(users, basic(b"ann", b"x" * 71))


def test_an_unknown_user_costs_what_a_known_one_costs() -> None:
    """One check each, the unknown name's always against the same user's hash, which proves nothing
    even with that user's password."""
    checks = Checks()
    auth = BasicAuth(checks)
    for _ in range(2):
        assert not auth.allows(USERS, basic(b"eve", b"secret"))
        assert not auth.allows(USERS, basic(b"ann", b"wrong"))
    assert len(checks.asked) == 4
    assert checks.asked[0] == checks.asked[2]
    assert checks.asked[0][1] in USERS.values()
    for name in (b"eve", b"mallory", b"trudy"):
        for password in (b"secret", "pässword".encode(), b"x"):
            assert not auth.allows(USERS, basic(name, password))
            assert not auth.allows(USERS, basic(name, password))


def test_right_credentials_are_checked_once_and_wrong_ones_never_push_them_out() -> None:
    checks = Checks()
    auth = BasicAuth(checks)
    right = basic(b"ann", b"secret")
    assert auth.allows(USERS, right)
    for n in range(3 * REMEMBERED):
        assert not auth.allows(USERS, basic(b"ann", b"%d" % n))
    asked = len(checks.asked)
    assert auth.allows(USERS, right)
    assert len(checks.asked) == asked == 3 * REMEMBERED + 1


def test_what_is_remembered_is_bounded() -> None:
    checks = Checks()
    auth = BasicAuth(checks)
    users = {b"%d" % n: hashed(b"x") for n in range(REMEMBERED + 1)}
    for name in users:
        assert auth.allows(users, basic(name, b"x"))
    asked = len(checks.asked)
    assert auth.allows(users, basic(b"1", b"x"))  # still there
    assert len(checks.asked) == asked
    assert auth.allows(users, basic(b"0", b"x"))  # the oldest is not
    assert len(checks.asked) == asked + 1


def test_a_changed_hash_or_a_removed_user_ends_what_is_remembered() -> None:
    auth = BasicAuth()
    right = basic(b"ann", b"secret")
    assert auth.allows(USERS, right)
    assert not auth.allows({b"ann": hashed(b"other")}, right)
    assert not auth.allows({b"bob": USERS[b"ann"]}, right)
    assert auth.allows(USERS, right)


def write(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text)
    return file


def users_text(**users: bytes) -> str:
    lines = "".join(f"  {name}: {hash_.decode()}\n" for name, hash_ in users.items())
    return "basic_auth_users:\n" + lines


def fetch(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> Any:
    """Status, headers and body of one request."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()


def test_every_page_asks_for_the_password(tmp_path: Path) -> None:
    """Also a page that is not there, so that nobody learns which are."""
    file = write(tmp_path, users_text(ann=USERS[b"ann"]))
    right, wrong = basic(b"ann", b"secret"), basic(b"ann", b"wrong")
    with start_http_server(port=0, registry=CollectorRegistry(), config_file=file) as server:
        for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/nothing"):
            for headers in ({}, {"Authorization": wrong}):
                status, answer, body = fetch(server.port, path, **headers)
                assert (status, body) == (401, b"Unauthorized.\n")
                assert answer["WWW-Authenticate"] == 'Basic realm="routecache", charset="UTF-8"'
            allowed = fetch(server.port, path, Authorization=right)[0]
            assert allowed == (404 if path == "/nothing" else 200)
        assert fetch(server.port, method="HEAD")[::2] == (401, b"")


def test_users_change_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be used is told once, quotes nothing, and what was in force stays."""
    file = write(tmp_path, users_text(ann=USERS[b"ann"]))
    ann, eve = ({"Authorization": basic(name, b"secret")} for name in (b"ann", b"eve"))
    with (
        caplog.at_level(logging.INFO, "routecache.exporters"),
        start_http_server(port=0, registry=CollectorRegistry(), config_file=file) as server,
    ):
        assert fetch(server.port, **eve)[0] == 401
        write(tmp_path, users_text(ann=USERS[b"ann"]).replace("ann:", "eve:"))
        assert (fetch(server.port, **eve)[0], fetch(server.port, **ann)[0]) == (200, 401)
        for broken in ("basic_auth_users:\n  ann: secret\n", None):
            file.unlink() if broken is None else write(tmp_path, broken)
            assert (fetch(server.port, **eve)[0], fetch(server.port, **ann)[0]) == (200, 401)
        write(tmp_path, "{}\n")
        assert fetch(server.port)[0] == 200
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert f"{file}, line 2: basic_auth_users: not a bcrypt hash" in errors[0]
    assert f"cannot read {file}: No such file or directory" in errors[1]
    assert "secret" not in caplog.text


def test_headers_are_added_to_every_answer_and_a_page_keeps_its_own(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
        "    Content-Security-Policy: default-src 'self'\n" + users_text(ann=USERS[b"ann"]),
    )
    headers = {"Authorization": basic(b"ann", b"secret")}
    with start_http_server(port=0, registry=CollectorRegistry(), config_file=file) as server:
        refused = fetch(server.port, "/")[1]
        metrics = fetch(server.port, "/metrics", **headers)[1]
        landing = fetch(server.port, "/", **headers)[1]
    assert refused["X-Frame-Options"] == metrics["X-Frame-Options"] == "deny"
    assert metrics["Content-Security-Policy"] == "default-src 'self'"
    assert landing["Content-Security-Policy"].startswith("default-src 'none'")


class Clock:
    """A clock that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


def test_the_rate_limit_lets_a_burst_through_and_then_one_each_interval(tmp_path: Path) -> None:
    clock, site = Clock(), Site(CollectorRegistry())
    file = write(tmp_path, "rate_limit:\n  interval: 2s\n  burst: 3\n")
    security = Security(file, clock)

    def ask() -> Response:
        return security.respond(security.current(), site, "GET", "/-/healthy", {}, "")

    assert [ask().status for _ in range(5)] == [200, 200, 200, 429, 429]
    clock.now = 1.9
    assert ask().status == 429
    clock.now = 4.1
    assert [ask().status for _ in range(3)] == [200, 200, 429]
    clock.now = 1000.0
    assert [ask().status for _ in range(4)] == [200, 200, 200, 429]
    write(tmp_path, "rate_limit:\n  interval: 2s\n  burst: 1\n")
    assert [ask().status for _ in range(2)] == [200, 429]
    write(tmp_path, "{}\n")
    assert {ask().status for _ in range(10)} == {200}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("1m30s", 90.0), ("1.5h", 5400.0), (".5s", 0.5), ("100ms", 0.1), ("2us", 2e-6),
     ("3µs", 3e-6), ("1h2h", 10800.0), ("+1s", 1.0)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    config = parse(FILE, f"rate_limit:\n  interval: {text}\n  burst: 7\n".encode())
    assert config.rate_limit is not None
    assert config.rate_limit.burst == 7
    assert config.rate_limit.interval == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["interval: 0\n  burst: 1", "burst: 4", "interval: 0s"])
def test_no_interval_is_no_rate_limit(text: str) -> None:
    assert parse(FILE, f"rate_limit:\n  {text}\n".encode()).rate_limit is None


def test_a_file_is_read_as_what_it_says() -> None:
    """Keys arrive typed; YAML's other spellings of them too."""
    config = parse(FILE, b"rate_limit: {interval: 1s, burst: 2}\nhttp_server_config:\n"
                   b"  headers: {X-XSS-Protection: 0, Strict-Transport-Security: }\n"
                   b"basic_auth_users: {1: " + USERS[b"ann"] + b"}\n")  # fmt: skip
    assert config.rate_limit == RateLimit(1.0, 2)
    assert config.headers == (("X-XSS-Protection", "0"),)
    assert config.users[0][0] == b"1"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("foo: 1", "web.yml, line 1: foo: no such key; known are tls_server_config, "),
        ("tls_server_config:\n  cert_fil: x",
         "web.yml, line 2: tls_server_config.cert_fil: no such key; did you mean cert_file?"),
        ("tls_server_config:\n  cert_file: x\n  cert_file: y",
         "web.yml, line 3: tls_server_config: the key of this line is given twice"),
        ("a: [", "web.yml, line 1: this is no valid YAML: expected the node content"),
        ("{}\n---\n{}", "web.yml, line 2: this is no valid YAML: a second document"),
        ("http_server_config: &a {<<: *a}", "web.yml: a mapping contains itself; write it out"),
        ("tls_server_config: {<<: x}", "web.yml, line 1: tls_server_config: `<<` takes mappings"),
        ("basic_auth_users: {hunter2: }", "web.yml, line 1: basic_auth_users: not a bcrypt hash"),
        ("basic_auth_users:\n  ann: &x hunter2\n  <<: *x",
         "web.yml, line 3: basic_auth_users: `<<` takes mappings"),
        ("basic_auth_users:\n  [hunter2]: x", "web.yml, line 2: basic_auth_users: give a key"),
        ("http_server_config: {headers: {X-Frame-Options: hunter2}}",
         "web.yml, line 1: http_server_config.headers.X-Frame-Options: use deny or sameorigin"),
        ("rate_limit: {interval: hunter2}", "web.yml, line 1: rate_limit.interval: give a dura"),
        ("rate_limit:\n  interval: 1s", "web.yml, line 1: rate_limit: give 1 or more"),
        ("- hunter2", "web.yml, line 1: give keys with values"),
        ("basic_auth_users: {ann: *hunter2}",
         "web.yml, line 1: this is no valid YAML: found undefined alias …"),
        ("basic_auth_users:\n  ann: !hunter2!x",
         "web.yml, line 2: this is no valid YAML: found undefined tag handle …"),
        ("%TAG !hunter2! x\n%TAG !hunter2! y\n---\nx: 1",
         "web.yml, line 2: this is no valid YAML: duplicate tag handle …"),
        ("basic_auth_users: [hunter2",
         "web.yml, line 1: this is no valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("\x00hunter2", "web.yml, line 1: this is no valid YAML: ReaderError"),
    ],
)  # fmt: skip
def test_complaints_name_file_line_and_key_and_quote_no_value(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(FILE, text.encode())
    assert str(caught.value).startswith(complaint)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_read_in_part(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too large"):
        Security(write(tmp_path, "{}\n" + "#\n" * (2 << 20)), Clock())


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("yaml", "{}", "PyYAML, which reads web configuration files, is not installed"),
        ("bcrypt", users_text(ann=USERS[b"ann"]), "bcrypt, which basic_auth_users need, is not"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, text: str, complaint: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Security(write(tmp_path, text), Clock())
    assert "pip install 'routecache[web]'" in str(caught.value)


def test_a_guess_being_checked_holds_up_nobody_who_was_right_before() -> None:
    """And guesses are checked one at a time."""
    began, may_end = threading.Semaphore(0), threading.Event()

    def slow(password: bytes, hash_: bytes) -> bool:
        began.release()
        return bcrypt.checkpw(password, hash_) if password == b"secret" else not may_end.wait(10)

    auth = BasicAuth(slow)
    assert auth.allows(USERS, RIGHT)
    assert began.acquire(timeout=5)
    guesses = [
        threading.Thread(target=auth.allows, args=(USERS, basic(b"ann", b"%d" % n)))
        for n in range(3)
    ]
    for guess in guesses:
        guess.start()
    assert began.acquire(timeout=5)
    assert auth.allows(USERS, RIGHT)
    assert not began.acquire(blocking=False)
    may_end.set()
    for guess in guesses:
        guess.join()
    assert [began.acquire(blocking=False) for _ in range(3)] == [True, True, False]


def test_a_flood_of_guesses_takes_few_of_the_slots() -> None:
    """Beyond a number, guesses are refused unchecked, and who was right before still passes."""
    checks = Checks()
    auth = BasicAuth(checks)
    assert auth.allows(USERS, RIGHT)
    for _ in range(MAX_CHECKS):
        assert auth._checks.acquire(blocking=False)
    for name in (b"ann", b"eve"):
        with pytest.raises(OverloadedError):
            auth.allows(USERS, basic(name, b"guess"))
    assert auth.allows(USERS, RIGHT)
    assert len(checks.asked) == 1
    auth._checks.release()
    for _ in range(2):
        assert not auth.allows(USERS, basic(b"ann", b"guess"))


def test_a_flood_of_guesses_is_answered_with_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be checked now is not called wrong."""

    def overloaded(*_: object) -> bool:
        raise OverloadedError

    monkeypatch.setattr(BasicAuth, "allows", overloaded)
    security = Security(write(tmp_path, users_text(ann=USERS[b"ann"])), Clock())
    site = Site(CollectorRegistry())
    response = security.respond(security.current(), site, "GET", "/metrics", {}, "")
    assert response.status == 503
    assert ("Retry-After", "1") in response.headers
