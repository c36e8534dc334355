"""TLS contexts from settings, and whose certificate is allowed."""

import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from routecache_exporters.web.tls_settings import Pem, TLSSettings

_MAX_PEM: Final = 4 << 20  # the bundle of all public authorities is a quarter of a megabyte
_BEGIN: Final = b"-----BEGIN "


def make_context(settings: TLSSettings) -> ssl.SSLContext:
    """A server's context; reads the files that `settings` name.

    Raises ConfigurationError, which names the key of what cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = settings.minimum, settings.maximum
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    if not settings.server_preference:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # Without tickets nobody resumes a session, and each connection shows its certificate anew.
    context.num_tickets = 0
    if settings.ciphers is not None:
        context.set_ciphers(settings.ciphers)
    if settings.curve is not None:
        context.set_ecdh_curve(settings.curve)
    _load_own(context, settings)
    if settings.verify != ssl.CERT_NONE:
        assert settings.client_ca is not None
        _load_authorities(context, settings.client_ca)
        context.verify_mode = settings.verify
    return context


def is_allowed(certificate: Any, allowed: frozenset[str]) -> bool:
    """Whether one of the subject's alternative names is in `allowed`, letter by letter.

    certificate: as `SSLSocket.getpeercert` gives it.
    """
    names = (certificate or {}).get("subjectAltName", ())
    return any(_canonical(kind, name) in allowed for kind, name in names)


def read_pem(pem: Pem) -> bytes:
    """The bytes of `pem`. Raises ConfigurationError if they cannot be had."""
    if pem.path is None:
        return pem.text
    try:
        with pem.path.open("rb") as file:
            content = file.read(_MAX_PEM + 1)
    except OSError as error:
        raise pem.place.error(f"cannot read {pem.path}: {error.strerror}") from None
    if len(content) > _MAX_PEM:
        raise pem.place.error(f"{pem.path} is larger than {_MAX_PEM >> 20} MiB; name a PEM file")
    return content


def _load_own(context: ssl.SSLContext, settings: TLSSettings) -> None:
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings.cert)  # is it one at all?
    if _BEGIN not in read_pem(settings.key):
        raise settings.key.place.error("this is no private key in PEM format")
    with _as_file(settings.cert) as cert, _as_file(settings.key) as key:
        try:
            # The password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(cert, key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                advice = "the key does not belong to the certificate; give the pair"
            elif error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
                reason = error.reason.lower().replace("_", " ")
                raise settings.cert.place.error(
                    f"OpenSSL refuses the certificate ({reason}); make a stronger one"
                ) from None
            else:
                advice = "this is no private key in PEM format without a password"
            raise settings.key.place.error(advice) from None


def _load_authorities(context: ssl.SSLContext, pem: Pem) -> None:
    text = read_pem(pem).decode("ascii", "replace")
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise pem.place.error("there is no certificate in PEM format here") from None


@contextlib.contextmanager
def _as_file(pem: Pem) -> Iterator[str]:
    """A path for `pem`, since keys are loaded by path only; text stays in memory if it can."""
    if pem.path is not None:
        yield str(pem.path)
    elif hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("routecache-pem")
        try:
            os.write(descriptor, pem.text)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
            file.write(pem.text)
            file.flush()
            yield file.name


def _canonical(kind: str, name: str) -> str:
    if kind != "IP Address":
        return name
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name.strip()))  # Python writes out the zeros of IPv6
    return name
