"""Web configuration files, good and bad, for promtool and for us.

Each is named and ends in what both say, or why they differ. In the folder where they are judged,
`cert.pem` and `key.pem` are a pair, `other.key` is another's key, and `junk.pem` is no PEM file;
`{cert}` and `{key}` stand for the pair's text.
"""

from collections.abc import Mapping
from typing import Final

HASH: Final = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
_TLS: Final = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
_HEADERS: Final = "http_server_config:\n  headers:\n"
_USERS: Final = "basic_auth_users:\n"
_VERIFY: Final = (
    _TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n"
)
_INLINE: Final = "tls_server_config:\n  cert: |\n{cert}  key: |\n{key}"


def _users(name: str, hashed: str) -> str:
    return f"{_USERS}  {name}: {hashed}\n"


def _with_hash(old: str, new: str) -> str:
    return _users("a", HASH.replace(old, new, 1))


def _limit(interval: str, burst: str = "5") -> str:
    return f"rate_limit:\n  interval: {interval}\n  burst: {burst}\n"


GOOD: Final[Mapping[str, str]] = {
    "nothing": "",
    "null": "null\n",
    "a comment": "# x\n",
    "an empty mapping": "{{}}\n",
    "a byte order mark": "\ufeff{{}}\n",
    "CR LF": _TLS.replace("\n", "\r\n"),
    "TLS": _TLS,
    "TLS that is null": "tls_server_config:\n",
    "merged keys": "tls_server_config:\n  <<: {{cert_file: cert.pem}}\n  key_file: key.pem\n",
    "a merged key given again": _TLS.replace(":\n", ":\n  <<: {{cert_file: no.pem}}\n", 1),
    **{
        f"client_auth_type {name}": f"{_TLS}  client_auth_type: {name}\n"
        for name in ("NoClientCert", "RequestClientCert", '""', "null")
    },
    **{
        f"client_auth_type {name} with a CA": f"{_TLS}  client_auth_type: {name}\n"
        "  client_ca_file: cert.pem\n"
        for name in (
            "RequestClientCert", "RequireAnyClientCert", "RequireClientCert",
            "VerifyClientCertIfGiven", "RequireAndVerifyClientCert",
        )
    },
    **{
        f"min_version {name}": f"{_TLS}  min_version: {name}\n"
        for name in ("TLS10", "TLS11", "TLS12", "TLS13", "null")
    },
    "max_version TLS12": _TLS + "  max_version: TLS12\n",
    **{
        f"suite {name}": f"{_TLS}  cipher_suites: [{name}]\n"
        for name in (
            "", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        )
    },
    "no suites": _TLS + "  cipher_suites:\n",
    **{
        f"curve {name}": f"{_TLS}  curve_preferences: [{name}]\n"
        for name in ("CurveP256", "CurveP384", "CurveP521", "X25519")
    },
    **{
        f"prefer_server_cipher_suites {word}": f"{_TLS}  prefer_server_cipher_suites: {word}\n"
        for word in ("true", "false", "yes", "off", "null")
    },
    **{
        f"http2 {word}": f"http_server_config:\n  http2: {word}\n"
        for word in ("true", "false", "Yes", "y", "ON")
    },
    "http2 over TLS": _TLS + "http_server_config:\n  http2: true\n",
    "every header": _HEADERS + "    X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n"
    "    Strict-Transport-Security: max-age=1\n    X-XSS-Protection: 1; mode=block\n"
    "    Content-Security-Policy: default-src 'self'\n",
    "a blank header": _HEADERS + "    Content-Security-Policy:\n",
    "a header that is a number": _HEADERS + "    X-XSS-Protection: 0\n",
    "headers that are null": _HEADERS,
    "a user": _users("a", HASH),
    "no users": _USERS,
    "an empty mapping of users": "basic_auth_users: {{}}\n",
    "a user who is a number": _users("1", HASH),
    "a user without a name": _users("''", HASH),
    "merged users": f"{_USERS}  <<: {{{{b: {HASH}}}}}\n  a: {HASH}\n",
    "an alias": f"{_USERS}  a: &h {HASH}\n  b: *h\n",
    **{f"hash ${name}$": _with_hash("2y", name) for name in ("2a", "2b", "2x")},
    "cost 31": _with_hash("$10$", "$31$"),
}  # fmt: skip

BAD: Final[Mapping[str, str]] = {
    "a list": "- a\n",
    "an unknown section": "tls: {{}}\n",
    "a section in other letters": "TLS_server_config:\n  cert_file: cert.pem\n",
    "a section twice": "basic_auth_users: {{}}\nbasic_auth_users: {{}}\n",
    "an unknown key": _TLS + "  ca_file: cert.pem\n",
    "an anchor of no use": "x: &x\n  a: 1\n",
    "a key twice": _TLS + "  key_file: key.pem\n",
    "TLS that is a list": "tls_server_config: []\n",
    "TLS that is text": "tls_server_config: x\n",
    "no key": "tls_server_config:\n  cert_file: cert.pem\n",
    "no certificate": "tls_server_config:\n  key_file: key.pem\n",
    "no certificate but client_auth_type":
        "tls_server_config:\n  client_auth_type: NoClientCert\n",
    "cert_file that is null": "tls_server_config:\n  cert_file:\n  key_file: key.pem\n",
    "cert_file that is a list":
        "tls_server_config:\n  cert_file: [cert.pem]\n  key_file: key.pem\n",
    "cert_file that is a number": "tls_server_config:\n  cert_file: 12\n  key_file: key.pem\n",
    "cert_file that is not there": "tls_server_config:\n  cert_file: no.pem\n  key_file: key.pem\n",
    "cert_file that is junk": "tls_server_config:\n  cert_file: junk.pem\n  key_file: key.pem\n",
    "cert_file that is a key": "tls_server_config:\n  cert_file: key.pem\n  key_file: key.pem\n",
    "key_file that is not there": "tls_server_config:\n  cert_file: cert.pem\n  key_file: no.pem\n",
    "key_file that is junk": "tls_server_config:\n  cert_file: cert.pem\n  key_file: junk.pem\n",
    "key_file that is another's":
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: other.key\n",
    "key_file with a password":
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: locked.key\n",
    "client_auth_type Always": _TLS + "  client_auth_type: Always\n",
    "a CA without client_auth_type": _TLS + "  client_ca_file: cert.pem\n",
    "a CA with NoClientCert":
        _TLS + "  client_auth_type: NoClientCert\n  client_ca_file: cert.pem\n",
    "a CA that is not there": _VERIFY.replace("client_ca_file: cert.pem", "client_ca_file: no.pem"),
    "client_allowed_sans that is text": _VERIFY + "  client_allowed_sans: a\n",
    **{
        f"min_version {name}": f"{_TLS}  min_version: {name}\n"
        for name in ("SSL30", "1.2", '""', "[TLS12]")
    },
    **{
        f"suite {name}": f"{_TLS}  cipher_suites: [{name}]\n"
        for name in (
            "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
            "TLS_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "MY_CIPHER",
        )
    },
    "suites that are text": _TLS + "  cipher_suites: TLS_AES_128_GCM_SHA256\n",
    **{f"curve {name}": f"{_TLS}  curve_preferences: [{name}]\n" for name in ("X448", "P256")},
    **{
        f"prefer_server_cipher_suites {word}": f"{_TLS}  prefer_server_cipher_suites: {word}\n"
        for word in ("1", "'true'", "x")
    },
    "http2 maybe": "http_server_config:\n  http2: maybe\n",
    "an unknown header": _HEADERS + "    X-Powered-By: x\n",
    "a header in other letters": _HEADERS + "    x-frame-options: deny\n",
    "X-Frame-Options DENY": _HEADERS + "    X-Frame-Options: DENY\n",
    "X-Frame-Options blank": _HEADERS + "    X-Frame-Options:\n",
    "X-Content-Type-Options sniff": _HEADERS + "    X-Content-Type-Options: sniff\n",
    "headers that are a list": "http_server_config:\n  headers: [a]\n",
    "a header that is a list": _HEADERS + "    Content-Security-Policy: [a]\n",
    "users that are a list": f"basic_auth_users: [{HASH}]\n",
    "a plain password": _users("a", "secret"),
    "no password": _users("a", ""),
    "a password that is a list": _users("a", "[x]"),
    "a password that is a number": _users("a", "12345"),
    "a user twice": f"{_USERS}  a: {HASH}\n  a: {HASH}\n",
    "a user twice, once as a number": f"{_USERS}  1: {HASH}\n  '1': {HASH}\n",
    "hash $3y$": _with_hash("2y", "3y"),
    "cost 03": _with_hash("$10$", "$03$"),
    "cost 32": _with_hash("$10$", "$32$"),
    "cost xx": _with_hash("$10$", "$xx$"),
    "a hash cut short": _users("a", HASH[:-2]),
    "an md5 hash": _users("a", "$apr1$abc$0123456789012345678901" + "0" * 40),
    **{f"interval {text}": _limit(text) for text in ("1x", "1d", "'5'", "1 s")},
    **{f"burst {text}": _limit("1s", text) for text in ("x", "'3'")},
    "tabs": "tls_server_config:\n\tcert_file: cert.pem\n",
    "an open quote": "tls_server_config: {{cert_file: 'x\n",
    "an unknown alias": "basic_auth_users: *x\n",
}  # fmt: skip

NEWER: Final[Mapping[str, str]] = {
    "the pair as text": _INLINE,
    "the pair as text and as files": _INLINE + "  cert_file: cert.pem\n  key_file: key.pem\n",
    "a CA as text": _TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca: |\n{cert}",
    "allowed names": _VERIFY + "  client_allowed_sans: [a, b]\n",
    "allowed names that are null": _VERIFY + "  client_allowed_sans:\n",
    **{
        f"interval {text}": _limit(text)
        for text in ("1s", "0", "0s", "1m30s", "1.5s", "100ms", "1h2h", "+1s", ".5s", "null")
    },
    "a burst without interval": "rate_limit:\n  burst: 3\n",
}
"""What we and later releases of the toolkit take, and Prometheus 2.42 does not know yet."""

STRICTER: Final[Mapping[str, tuple[str, ...]]] = {
    "TLS settings without a certificate": ("tls_server_config:\n  min_version: TLS13\n",),
    "a `client_auth_type` that needs certificates, without `client_ca_file`": tuple(
        f"{_TLS}  client_auth_type: {name}\n"
        for name in (
            "RequireAnyClientCert", "RequireClientCert", "VerifyClientCertIfGiven",
            "RequireAndVerifyClientCert",
        )
    ),
    "a `client_ca_file` without a certificate in it":
        (_VERIFY.replace("client_ca_file: cert.pem", "client_ca_file: junk.pem"),),
    "versions that leave none from TLS 1.2 up": (
        _TLS + "  max_version: TLS11\n",
        _TLS + "  min_version: TLS13\n  max_version: TLS12\n",
        _TLS + "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
    ),
    "`cipher_suites` without forward secrecy, or null": (
        _TLS + "  cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]\n",
        _TLS + "  cipher_suites: [null]\n",
    ),
    "several `curve_preferences`": (_TLS + "  curve_preferences: [CurveP521, X25519]\n",),
    "a header that is not one line of ASCII":
        (_HEADERS + '    Content-Security-Policy: "a\\nb: c"\n',),
    "a user with a colon": (_users("'a:b'", HASH),),
    "a hash that no password matches": (
        *(_with_hash("2y", version) for version in ("2", "2z", "1y")),
        *(_users("a", hashed) for hashed in (HASH[:-1], HASH + "a", HASH[:-1] + "!")),
    ),
    "a tag of one's own": (f"{_USERS}  a: !mine {HASH}\n",),
    "a second document": ("{{}}\n---\nnonsense: 1\n",),
}  # fmt: skip
"""What the toolkit takes and we refuse, under the words with which docs/web.md gives the reason."""

STRICTER_NEWER: Final[Mapping[str, tuple[str, ...]]] = {
    "`client_allowed_sans` that are empty": (_VERIFY + "  client_allowed_sans: []\n",),
    "`client_allowed_sans` of clients who need not show any": (
        _TLS + "  client_allowed_sans: [a]\n",
        _TLS + "  client_auth_type: RequestClientCert\n  client_allowed_sans: [a]\n",
    ),
    "an `interval` without a unit, or below 0":
        tuple(_limit(text) for text in ("1", "-1s", "1e9", "1.5")),
    "a `burst` that is no plain number from 1 up": (
        *(_limit("1s", text) for text in ("0", "-1", "1.5", "1.0", "0x10", "010")),
        "rate_limit:\n  interval: 1s\n",
    ),
}  # fmt: skip
"""The same for keys that Prometheus 2.42 does not know, and so refuses too."""
