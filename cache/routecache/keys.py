"""Names: the canonical digest of a request context, and how keys are spelt in Redis."""

import hashlib
import re
from typing import Final, Literal, TypeAlias

from xxhash import xxh3_128_hexdigest

from routecache.canonical import encode, is_plain, plain_form
from routecache.errors import ConfigurationError, KeyTypeError

DigestAlgorithm: TypeAlias = Literal["blake2b", "xxh3"]

# Copying a ready hash object takes 100 ns less than calling the constructor with a digest size.
_blake2b: Final = hashlib.blake2b(digest_size=16)


def digest(
    context: object, *, algorithm: DigestAlgorithm = "blake2b", classes: bool = False
) -> str:
    """The canonical digest of `context`: the same for the same content in every process.

    The order of dicts and sets, the hash seed, the platform and the version of Python play no
    part. Told apart: `1`, `True`, `1.0`, `"1"`, `b"1"`, None and NaN; `0.0` and `-0.0`; int and
    str dict keys; str that differ by normalisation; the same instant in two time zones.

    Equal, at any depth:

    - a tuple (a namedtuple too) and the list of its items;
    - a set or frozenset and the list of its elements, sorted as `sorted()` does: numbers, str,
      bytes or lists of these; elements of several kinds have a fixed order too;
    - a date, time or datetime and its `isoformat()`, and a UUID and its `str()`;
    - an Enum member and its value: the text of a text-valued one, the number of a numeric one;
    - a dataclass, or an object with a `model_dump()` method as pydantic's, and its dict;
    - bytes, bytearray and memoryview of the same bytes; all NaNs;
    - an instance of a subclass of str, int, float, dict, list, ... and the plain value it holds.

    Args:
        context: usually a dict. Integers of any size and str with lone surrogates are fine.
        algorithm: "blake2b", or for contexts without foreign input "xxh3", which is faster but
            for which colliding inputs can be constructed.
        classes: whether a dataclass, an object with a `model_dump()` and a member of an Enum that
            is neither str nor number enter with their class, by its module and qualified name, so
            that objects of two classes differ. Not seen are the classes of what `model_dump()`
            itself makes dicts of.

    Returns:
        32 lowercase hexadecimal characters, 128 bits.

    Raises:
        KeyTypeError: something else is inside, a cycle, or more than 100 levels (`MAX_DEPTH`); with
            `classes` also an object whose class is made inside of a function, because its name
            does not tell it from others. The message names the path, such as
            `context["user"].session`.
        ConfigurationError: unknown algorithm.

    Safe for threads, as long as none changes `context` meanwhile.
    """
    data = b""
    if type(context) is dict and is_plain(context.values(), 1):
        try:
            data = encode(context)
        except (TypeError, ValueError, OverflowError):
            data = b""  # keys other than str, lone surrogates, integers beyond 64 bits
    if not data:
        data = encode(plain_form(context, classes=classes))
    if algorithm == "blake2b":
        state = _blake2b.copy()
        state.update(data)
        return state.hexdigest()
    if algorithm == "xxh3":
        return xxh3_128_hexdigest(data)
    raise ConfigurationError(f"algorithm={algorithm!r} must be 'blake2b' or 'xxh3'")


# How keys are spelt in Redis (P is the prefix, braces are literal and hold a cluster's hash tag)
#
#   P:v1:{key}      value      P:lease:{key}   lease, on the value's cluster slot
#   P:v1:{}         for an instant, when all of P has changed
#   P:tag:<tag>     tag        P:hb:<process>  heartbeat
#   P:warm:{fleet}  lease of a warm-up, and P:warmed:{fleet} for a minute after its end
#
# A prefix can hold no brace, so `P:v1:{` begins the values of P and of no other prefix. Keys are
# joined with `+`, because an f-string formats a str Enum as its name on Python 3.11 and the look-up
# in L1 compares it as its value.

WIRE_VERSION: Final = 1
LIVE_VERSIONS: Final = (WIRE_VERSION,)
"""What a rolling upgrade may have in use at once, and a delete acts on: this version and the
previous, of which version 1 has none."""

_MARK: Final = "\0"
_MARKED: Final = ("}", _MARK)
_PREFIX: Final = re.compile(r"[A-Za-z0-9._:-]+")
_TAG_SPACE: Final = re.compile(r".+:tag(?::|$)")


def check_prefix(prefix: object) -> str:
    """Return `prefix`, or raise ConfigurationError (a ValueError) when it cannot be one.

    Letters, digits, `.`, `_`, `:` and `-`, none of which SCAN reads as a pattern. `P:tag` and
    `P:tag:...` are refused: their values would look like tags of the cache with the prefix P, and
    its `clear()` would take them.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"cache_prefix {prefix!r} must be one or more of A-Z, a-z, 0-9, '.', '_', ':' and '-'"
        )
    if _TAG_SPACE.match(prefix):
        raise ConfigurationError(
            f"cache_prefix {prefix!r} must not have a part ':tag': another cache's tags are there"
        )
    return prefix


def check_key(key: object, what_it_is: str = "a cache key") -> str:
    """Return `key`, or raise KeyTypeError (a TypeError) unless it is a non-empty str."""
    if isinstance(key, str) and key:
        return key
    what = "an empty str" if isinstance(key, str) else type(key).__qualname__
    raise KeyTypeError(f"{what_it_is} must be a non-empty str, not {what}")


def check_text(name: object, what_it_is: str) -> str:
    """`check_key` for names that travel inside values and labels: halves of surrogate pairs too
    are refused, which no UTF-8 can carry."""
    text = check_key(name, what_it_is)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise KeyTypeError(f"{what_it_is} must not hold half a surrogate pair") from None
    return text


def value_key(prefix: str, key: str, version: int = WIRE_VERSION) -> str:
    """Where the value of `key` lies, `P:v1:{key}`."""
    return value_prefix(prefix, version) + _inside(key) + "}"


def lease_key(prefix: str, key: str) -> str:
    """Where the lease of `key` lies, `P:lease:{key}`."""
    return prefix + ":lease:{" + _inside(key) + "}"


def _inside(key: str) -> str:
    # An empty hash tag, `{}`, is none: value and lease of a key that begins with `}` would lie on
    # two slots. So that key_of can tell, a key that begins with the mark gets it too.
    return _MARK + key if key.startswith(_MARKED) else key


def tag_key(prefix: str, tag: str) -> str:
    """Where the time of the last invalidation of `tag` lies, `P:tag:<tag>`."""
    return prefix + ":tag:" + tag


def heartbeat_key(prefix: str, process: str) -> str:
    """Where the listener of `process` writes to itself, `P:hb:<process>`."""
    return prefix + ":hb:" + process


def warm_up_keys(prefix: str, fleet: str) -> tuple[str, str]:
    """Where it stands that a fleet's warm-up has ended, `P:warmed:{fleet}`, and its lease.

    On one cluster slot. Neither is a key of any other prefix, whatever that ends in.
    """
    inside = _inside(fleet) + "}"
    return prefix + ":warmed:{" + inside, prefix + ":warm:{" + inside


def value_prefix(prefix: str, version: int = WIRE_VERSION) -> str:
    """How all value keys of `prefix` begin and no others, `P:v1:{`: what a listener tracks."""
    return prefix + ":v" + str(version) + ":{"


def all_changed(value_prefix: str) -> str:
    """The key that is written for an instant, `P:v1:{}`, to have those who track `value_prefix`
    drop all of it. No key of a caller is spelt so."""
    return value_prefix + "}"


def key_of(prefix: str, wire_key: str, version: int = WIRE_VERSION) -> str | None:
    """The key whose `value_key` is `wire_key`, or None when that is no value key of `prefix`."""
    start = value_prefix(prefix, version)
    if wire_key.startswith(start) and wire_key.endswith("}"):
        inside = wire_key[len(start) : -1]
        return inside.removeprefix(_MARK) or None
    return None


def value_pattern(prefix: str, version: int = WIRE_VERSION) -> str:
    """The SCAN MATCH pattern of the values of `prefix` and of no other prefix, `P:v1:{*}`."""
    return value_prefix(prefix, version) + "*}"


def lease_pattern(prefix: str) -> str:
    """The SCAN MATCH pattern of the leases of `prefix` and of no other prefix, `P:lease:{*}`."""
    return prefix + ":lease:{*}"


def tag_pattern(prefix: str) -> str:
    """The SCAN MATCH pattern of the tags of `prefix` and of no other prefix, `P:tag:*`."""
    return prefix + ":tag:*"
