"""`tls_server_config`: what the file says about TLS, judged without opening a certificate."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from routecache_exporters.web.yaml_nodes import Place, Section

_KNOWN: Final = (
    "cert_file", "key_file", "cert", "key", "client_auth_type", "client_ca_file", "client_ca",
    "client_allowed_sans", "min_version", "max_version", "cipher_suites", "curve_preferences",
    "prefer_server_cipher_suites",
)  # fmt: skip

# Whether a client has to show a certificate. The toolkit's RequireAny... takes one that anybody
# may have made for himself; here whatever is required is verified.
_CLIENT_AUTH: Final[Mapping[str, ssl.VerifyMode]] = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "RequireClientCert": ssl.CERT_REQUIRED,  # its older name
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

_VERSIONS: Final[Mapping[str, int]] = {"TLS10": 10, "TLS11": 11, "TLS12": 12, "TLS13": 13}

_CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

# Go's names, which the file format took over, and OpenSSL's.
_SUITES_12: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
# TLS 1.3 always offers all three.
_SUITES_13: Final = (
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key: a file, or text that stands in the configuration itself."""

    place: Place
    path: Path | None
    text: bytes


Files: TypeAlias = tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """How to speak TLS.

    verify: whether clients have to show a certificate, which is then verified.
    allowed_sans: names of which a client's certificate must have one; None is any.
    ciphers: for TLS 1.2, in OpenSSL's words; None is OpenSSL's own choice.
    notes: where the server will be stricter than the file's words.
    """

    cert: Pem
    key: Pem
    client_ca: Pem | None
    verify: ssl.VerifyMode
    allowed_sans: frozenset[str] | None
    minimum: ssl.TLSVersion
    maximum: ssl.TLSVersion
    ciphers: str | None
    curve: str | None
    server_preference: bool
    notes: tuple[str, ...]

    @property
    def files(self) -> Files:
        """The files that this names."""
        pems = (self.cert, self.key, self.client_ca)
        return tuple(pem.path for pem in pems if pem is not None and pem.path is not None)


def read_tls(parent: Section) -> TLSSettings | None:
    """What `tls_server_config` says; None if it says nothing, and plain HTTP is meant.

    Raises ConfigurationError.
    """
    section = parent.section("tls_server_config", _KNOWN)
    if not any(key in section for key in _KNOWN):
        return None
    cert, key, client_ca = (_pem(section, name) for name in ("cert", "key", "client_ca"))
    for name, pem in (("cert", cert), ("key", key)):
        if pem is None:
            raise section.place.error(f"TLS needs {name}_file (or the PEM text itself as {name})")
    assert cert is not None
    assert key is not None
    notes: list[str] = []
    verify = _verify(section, client_ca, notes)
    minimum, maximum = _versions(section, notes)
    ciphers = _ciphers(section)
    if ciphers == "":
        if maximum < ssl.TLSVersion.TLSv1_3:
            raise section.at("cipher_suites").error(
                "no suite here is for TLS 1.2, and max_version allows no other version"
            )
        minimum = ssl.TLSVersion.TLSv1_3
    prefer = section.scalar("prefer_server_cipher_suites")
    return TLSSettings(
        cert,
        key,
        client_ca,
        verify,
        _allowed_sans(section, verify),
        minimum,
        maximum,
        ciphers or None,
        _curve(section),
        prefer is None or prefer.boolean(),
        tuple(notes),
    )


def _pem(section: Section, name: str) -> Pem | None:
    file, inline = section.scalar(f"{name}_file"), section.scalar(name)
    if file is not None and file.text:
        # A file wins over text, as in the toolkit.
        return Pem(file.place, file.place.file.parent / file.text, b"")
    return Pem(inline.place, None, inline.text.encode()) if inline and inline.text else None


def _verify(section: Section, client_ca: Pem | None, notes: list[str]) -> ssl.VerifyMode:
    given = section.scalar("client_auth_type")
    name = (given.text if given is not None else "") or "NoClientCert"
    place = section.at("client_auth_type")
    verify = _CLIENT_AUTH.get(name)
    if verify is None:
        raise place.error(f"use one of {', '.join(_CLIENT_AUTH)}")
    if verify == ssl.CERT_NONE:
        if client_ca is not None and name == "NoClientCert":
            raise client_ca.place.error("is of no use without client_auth_type")
    elif client_ca is None:
        # Without one Go would accept what any public authority has signed, or anything at all.
        raise place.error(f"{name} needs client_ca_file (or client_ca), to verify against")
    if name in ("RequireAnyClientCert", "RequireClientCert"):
        notes.append(f"{name}: certificates are required and verified")
    return verify


def _allowed_sans(section: Section, verify: ssl.VerifyMode) -> frozenset[str] | None:
    if "client_allowed_sans" not in section:
        return None
    place = section.at("client_allowed_sans")
    names = frozenset(scalar.text for scalar in section.scalars("client_allowed_sans"))
    if verify != ssl.CERT_REQUIRED:
        raise place.error("needs client_auth_type: RequireAndVerifyClientCert")
    if not names:
        raise place.error("an empty list lets nobody in; name somebody, or leave the key out")
    return names


def _versions(section: Section, notes: list[str]) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    low, high = (
        _version(section, key, default)
        for key, default in (("min_version", 12), ("max_version", 13))
    )
    if high < 12:
        raise section.at("max_version").error("use TLS12 or TLS13: older versions are not served")
    if low > high:
        raise section.at("min_version").error("is above max_version, so that nobody could connect")
    if low < 12:
        notes.append("min_version: TLS 1.2 is the least that is served")
    found = {12: ssl.TLSVersion.TLSv1_2, 13: ssl.TLSVersion.TLSv1_3}
    return found[max(low, 12)], found[high]


def _version(section: Section, key: str, default: int) -> int:
    given = section.scalar(key)
    version = default if given is None else _VERSIONS.get(given.text)
    if version is None:
        raise section.at(key).error("use TLS12 or TLS13")
    return version


def _ciphers(section: Section) -> str | None:
    """OpenSSL's list for TLS 1.2; "" if only suites of TLS 1.3 are named, None if none at all."""
    suites = section.scalars("cipher_suites")
    for suite in suites:
        if suite.text not in _SUITES_12 and suite.text not in _SUITES_13:
            known = ", ".join((*_SUITES_13, *_SUITES_12))
            raise suite.place.error(f"a suite that is not known or not safe; use some of {known}")
    if not suites:
        return None
    return ":".join(_SUITES_12[suite.text] for suite in suites if suite.text in _SUITES_12)


def _curve(section: Section) -> str | None:
    curves = section.scalars("curve_preferences")
    for curve in curves:
        if curve.text not in _CURVES:
            raise curve.place.error(f"a curve that is not known; use one of {', '.join(_CURVES)}")
    if len(curves) > 1:
        raise section.at("curve_preferences").error(
            "Python's TLS takes one curve; keep the first, or leave the key out for "
            "OpenSSL's own choice of them"
        )
    return _CURVES[curves[0].text] if curves else None
