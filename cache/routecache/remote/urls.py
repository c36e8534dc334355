"""A Redis URL as a `Target`, and what is wrong with one that cannot work.

No message quotes any part of a URL, and none the text of an exception that may: a password with a
special character makes every part of a URL hold a piece of it.
"""

from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlencode

import redis

from routecache.errors import ConfigurationError
from routecache.remote.target import Address, Kind, Target, without_ours

DEFAULT_MAX_CONNECTIONS = 50
_REDIS_PORT = 6379
_SENTINEL_PORT = 26379

# Scheme: what it names, and whether over TLS.
_SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("server", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
# Those of redis-py's options that can be said in a URL.
_OPTIONS = frozenset(
    {
        "client_name",
        "db",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "legacy_responses",
        "lib_name",
        "lib_version",
        "max_connections",
        "password",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
        "ssl_validate_ocsp",
        "ssl_validate_ocsp_stapled",
        "timeout",
        "username",
    }
)
_YES = frozenset({"1", "t", "true", "y", "yes"})
_NO = frozenset({"0", "f", "false", "n", "no"})


def parse(url: str) -> Target:
    """What `url` names.

    - `redis://`, `rediss://` (TLS): `[user:password@]host[:port][/db]`
    - `unix://[user:password@]/path/of/the/socket`
    - `redis+sentinel://[user:password@]host[:port],...[/service[/db]]`; the credentials are those
      of the data nodes, `sentinel_username` and `sentinel_password` those of the sentinels. The
      service is "mymaster" unless named.
    - `redis+cluster://[user:password@]host[:port],...`

    and redis-py's options after `?`. `ssl=true` is TLS, as are `rediss+sentinel://` and
    `rediss+cluster://`. Raises ConfigurationError, without any text of the URL.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SCHEMES:
        schemes = ", ".join(f"{name}://" for name in _SCHEMES)
        _refuse(f"does not begin with one of {schemes}")
    kind, tls = _SCHEMES[scheme]
    if "#" in rest:
        _refuse("holds a '#'")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    options = dict(parse_qsl(query))
    if scheme == "unix":
        return _build(kind, f"unix://{authority}/{path}", options)
    credentials, at, hosts = authority.rpartition("@")
    if "@" in path:
        _refuse("holds a '/' before its host")
    tls = _take_bool(options, "ssl") or tls
    base = f"redis{'s' * tls}://{credentials}{at}"
    names = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    if kind == "sentinel":
        return _sentinel(base, hosts, names, options, tls)
    nodes = [_address(part, _REDIS_PORT) for part in hosts.split(",")]
    if kind == "cluster":
        if names not in ([], ["0"]) or options.pop("db", "0") != "0":
            _refuse("names a database, of which a cluster has none")
        return _build(kind, f"{base}localhost", options, tuple(nodes))
    if len(names) > 1:
        _refuse("has more than a database number after its host")
    if len(nodes) > 1:
        _refuse("has several hosts, which only redis+sentinel:// and redis+cluster:// can have")
    host, port = nodes[0]
    bracketed = f"[{host}]" if ":" in host else quote(host)
    return _build(kind, f"{base}{bracketed}:{port}{_database(names)}", options)


def _sentinel(
    base: str, hosts: str, names: list[str], options: dict[str, str], tls: bool
) -> Target:
    if len(names) > 2:
        _refuse("has more than a service and a database number after its hosts")
    own: dict[str, Any] = {
        name: options.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in options
    }
    primary = _build(
        "sentinel",
        f"{base}localhost{_database(names[1:])}",
        options,
        tuple(_address(part, _SENTINEL_PORT) for part in hosts.split(",")),
        names[0] if names else "mymaster",
    )
    if tls:
        own["ssl"] = True
        own |= {name: v for name, v in primary.options.items() if name.startswith("ssl_")}
    return replace(primary, sentinel_options=own)


def _build(
    kind: Kind,
    url: str,
    options: dict[str, str],
    nodes: tuple[Address, ...] = (),
    service: str = "",
) -> Target:
    if not options.keys() <= _OPTIONS:
        _refuse("has an option that redis-py does not know or that cannot be said in a URL")
    try:
        pool = _unconnected(url, options)
    except Exception:  # noqa: BLE001  # its text may hold what must not be told
        for name, value in options.items():
            try:
                _unconnected(url.partition("://")[0] + "://localhost", {name: value})
            except Exception:  # noqa: BLE001  # as above
                _refuse(f"has a value of the option {name} that redis-py refuses", hint=False)
        _refuse("has options that redis-py refuses together")
    given = without_ours(pool.connection_kwargs)
    if nodes:
        given.pop("host", None)
        given.pop("port", None)
    return Target(kind, pool.connection_class, given, pool.max_connections, nodes, service)


def _unconnected(url: str, options: dict[str, str]) -> redis.ConnectionPool:
    full = f"{url}?{urlencode(options)}" if options else url
    pool = redis.ConnectionPool.from_url(full, max_connections=DEFAULT_MAX_CONNECTIONS)
    pool.connection_class(**pool.connection_kwargs)
    return pool


def _address(text: str, default_port: int) -> Address:
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed or ":" not in host or (port and not port.startswith(":")):
            _refuse("has a '[' and no IPv6 address in brackets after it")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
        if any(c in host for c in "[]") or ":" in port:
            _refuse("has a host that is neither a name nor an address (IPv6 goes into brackets)")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        _refuse("has a port that is no number from 1 to 65535")
    return unquote(host) or "localhost", int(port) if port else default_port


def _database(names: list[str]) -> str:
    if names and not (names[0].isascii() and names[0].isdigit()):
        _refuse("has a database that is no number")
    return f"/{names[0]}" if names else ""


def _take_bool(options: dict[str, str], name: str) -> bool:
    value = options.pop(name, "").lower()
    if value and value not in _YES | _NO:
        _refuse(f"has a value of the option {name} that is neither true nor false", hint=False)
    return value in _YES


def _refuse(problem: str, *, hint: bool = True) -> NoReturn:
    more = "; special characters in a user name or password must be percent-encoded" if hint else ""
    raise ConfigurationError(f"the Redis URL {problem}{more}") from None
