"""Payloads of earlier and later releases are read, and earlier releases read today's.

The files of tests/golden/serializers are never written anew: a change that needs that is a change
of the format, and takes a new serializer name.
"""

import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from routecache.serializers import (
    CompressedSerializer,
    JsonSerializer,
    MsgpackSerializer,
    SignedSerializer,
    TypedSerializer,
)
from routecache.typing import Serializer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GOLDEN = Path(__file__).parents[1] / "golden" / "serializers"
KEY = b"a key for golden payloads"
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


@dataclasses.dataclass
class Provider:
    name: str
    up: bool
    at: dt.datetime
    weights: dict[int, float]
    raw: bytes = b""


class Model(pydantic.BaseModel):
    name: str
    at: dt.datetime
    cost: float = pydantic.Field(default=0.5, alias="pricePerToken")
    tags: list[str] = []


PLAIN = {
    "name": "gpt",
    "scores": [1, -2, 0.25, 1e300, 2**64 - 1],
    "up": True,
    "none": None,
    "ü": "✓",
}
PACKED: dict[Any, Any] = {**PLAIN, "raw": b"\x00\xff", "at": AT, 7: {(1, b"k"): float("inf")}}
PROVIDER = Provider("openai", True, AT, {1: 0.5, -2: 2.0}, b"\xff")
MODEL = Model(name="gpt", at=AT, pricePerToken=2.5, tags=["a", "ü"])
LARGE = [PLAIN] * 20

JSON = JsonSerializer()
ZSTD = CompressedSerializer(JSON, over=300)
WRITERS: dict[str, tuple[Serializer, object, str]] = {
    "json": (JSON, PLAIN, "json"),
    "msgpack": (MsgpackSerializer(), PACKED, "msgpack"),
    "typed-msgpack": (
        TypedSerializer(Provider, name="provider"),
        PROVIDER,
        "typed-msgpack:provider~c405daff",
    ),
    "typed-pydantic": (
        TypedSerializer(Model, name="model"),
        MODEL,
        "typed-pydantic:model~fd4e5222",
    ),
    "zstd-plain": (ZSTD, PLAIN, "zstd+json"),
    "zstd-compressed": (ZSTD, LARGE, "zstd+json"),
    "signed": (SignedSerializer(JSON, KEY), PLAIN, "signed+json"),
    "signed-zstd": (SignedSerializer(ZSTD, KEY), LARGE, "signed+zstd+json"),
}


@pytest.mark.parametrize("case", WRITERS)
def test_today_reads_the_golden_payload_under_its_name(case: str) -> None:
    serializer, value, name = WRITERS[case]
    back = serializer.loads((GOLDEN / f"{case}.bin").read_bytes())
    assert back == value
    assert type(back) is type(value)
    assert serializer.name == name


# Bytes of zstd depend on its release; that older readers read them is tested below.
@pytest.mark.parametrize(
    "case", [case for case in WRITERS if case not in {"zstd-compressed", "signed-zstd"}]
)
def test_today_writes_the_bytes_of_the_golden_payload(case: str) -> None:
    serializer, value, _ = WRITERS[case]
    assert serializer.dumps(value) == (GOLDEN / f"{case}.bin").read_bytes()


def unsigned(name: bytes, data: bytes) -> bytes:
    context = b"routecache signed 1\0" + name + b"\0"
    assert hmac.digest(KEY, context + data[32:], hashlib.sha256) == data[:32]
    return data[32:]


def unzipped(data: bytes) -> bytes:
    assert data[:1] in {b"\x00", b"\x01"}
    return zstd.decompress(data[1:]) if data[:1] == b"\x01" else data[1:]


# The formats, read without this package: what any reader of this wire version relies on.
READERS: dict[str, Callable[[bytes], object]] = {
    "json": json.loads,
    "msgpack": msgspec.msgpack.decode,
    "typed-msgpack": lambda data: Provider(**msgspec.msgpack.decode(data)),
    "typed-pydantic": lambda data: Model.model_validate(json.loads(data), by_name=True),
    "zstd-plain": lambda data: json.loads(unzipped(data)),
    "zstd-compressed": lambda data: json.loads(unzipped(data)),
    "signed": lambda data: json.loads(unsigned(b"json", data)),
    "signed-zstd": lambda data: json.loads(unzipped(unsigned(b"zstd+json", data))),
}


@pytest.mark.parametrize("case", WRITERS)
def test_a_reader_that_knows_only_the_format_reads_both(case: str) -> None:
    serializer, value, _ = WRITERS[case]
    golden = (GOLDEN / f"{case}.bin").read_bytes()
    assert READERS[case](golden) == READERS[case](serializer.dumps(value)) == value


def test_typed_payloads_without_a_newer_field_and_with_an_unknown_one_are_read() -> None:
    provider, model = WRITERS["typed-msgpack"][0], WRITERS["typed-pydantic"][0]
    earlier, later = (GOLDEN / f"typed-msgpack-{when}.bin" for when in ("earlier", "later"))
    assert provider.loads(earlier.read_bytes()) == dataclasses.replace(PROVIDER, raw=b"")
    assert provider.loads(later.read_bytes()) == PROVIDER
    earlier, later = (GOLDEN / f"typed-pydantic-{when}.bin" for when in ("earlier", "later"))
    assert model.loads(earlier.read_bytes()) == Model(name="gpt", at=AT)
    assert model.loads(later.read_bytes()) == MODEL
