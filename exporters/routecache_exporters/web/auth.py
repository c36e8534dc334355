"""Basic authentication against bcrypt hashes, in the same time for unknown users.

bcrypt takes some 60 ms by design. Credentials that were right are therefore remembered, as keyed
digests of user, hash and password together: a changed file forgets them by itself. Wrong ones are
not remembered, so that guessing cannot push the right ones out, and are checked one at a time, so
that it cannot take more than one core; and few may wait for that, so that it cannot take the
server's slots.
"""

import base64
import binascii
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from routecache.errors import ConfigurationError

Check: TypeAlias = Callable[[bytes, bytes], bool]

REMEMBERED: Final = 100
"""Right credentials that are remembered; the oldest go first."""

MAX_CHECKS: Final = 8
"""Checks that run or wait. The others' connections have to stay free for who was right before."""

_BCRYPT_BYTES: Final = 72  # what bcrypt looks at; the package raises on more


class OverloadedError(Exception):
    """Too many credentials are being checked; these were not."""


class BasicAuth:
    """Tells whether an Authorization header names a user with the right password.

    check: `bcrypt.checkpw`, which is imported when None. Raises ConfigurationError without it.

    Safe for threads; a call that has to ask bcrypt blocks.
    """

    def __init__(self, check: Check | None = None) -> None:
        self._check = check or _bcrypt()
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._checks = threading.Semaphore(MAX_CHECKS)

    def allows(self, users: Mapping[bytes, bytes], authorization: str) -> bool:
        """Whether `authorization` holds the name and the password of one of `users`.

        users: names with their bcrypt hashes, at least one.

        Raises OverloadedError if that would take a check and too many are waiting.
        """
        given = _credentials(authorization)
        if given is None:
            return False
        name, password = given
        hashed = users.get(name)
        known = hashed is not None
        if hashed is None:
            # Costs may differ between users. An unknown name always meets the same one of their
            # hashes, and so takes as long as a known one.
            hashes = sorted(users.values())
            hashed = hashes[int.from_bytes(self._digest(name)[:8]) % len(hashes)]
        digest = self._digest(name, hashed, password)
        with self._lock:
            if known and digest in self._right:
                return True
        if not self._checks.acquire(blocking=False):
            raise OverloadedError
        try:
            with self._one_at_a_time:
                right = self._check(password[:_BCRYPT_BYTES], hashed)
        finally:
            self._checks.release()
        if not (right and known):
            return False
        with self._lock:
            self._right[digest] = None
            if len(self._right) > REMEMBERED:
                del self._right[next(iter(self._right))]
        return True

    def _digest(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        return digest.digest()


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _bcrypt() -> Check:
    try:
        import bcrypt
    except ImportError as error:
        raise ConfigurationError(
            "bcrypt, which basic_auth_users need, is not installed: pip install 'routecache[web]'"
        ) from error
    return bcrypt.checkpw
