"""Compressed and signed payloads: bounded, verified, composable, and misses when unreadable."""

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecache import MISS, BaseCacheManager
from routecache.errors import ConfigurationError, DecodeError, SerializationError
from routecache.serializers import (
    CompressedSerializer,
    JsonSerializer,
    MsgpackSerializer,
    SignedSerializer,
    TypedSerializer,
)
from routecache.testing import FakeRemote, ManualTimer
from routecache.typing import Serializer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = JsonSerializer()
KEY, OTHER = b"k" * 16, b"o" * 32
LONG = "abc" * 1000


class Odd(JsonSerializer):
    """A serializer of somebody else's, with a name that is long and not ASCII."""

    @property
    def name(self) -> str:
        return "Ω" * 100


def test_only_what_is_larger_than_the_bound_is_compressed() -> None:
    compressed = CompressedSerializer(JSON, over=100)
    assert compressed.dumps("x" * 98) == b'\x00"' + b"x" * 98 + b'"'
    assert compressed.dumps("x" * 99)[:1] == b"\x01"
    assert len(compressed.dumps(LONG)) < 100
    assert compressed.loads(compressed.dumps(LONG)) == LONG


def test_what_compression_would_make_larger_stays_plain() -> None:
    noise = os.urandom(1000)
    packed = CompressedSerializer(MsgpackSerializer(), over=0)
    assert packed.dumps(noise)[:1] == b"\x00"
    assert packed.loads(packed.dumps(noise)) == noise


def test_readers_of_another_bound_and_level_read_it() -> None:
    written = CompressedSerializer(JSON, over=0, level=19).dumps(LONG)
    assert CompressedSerializer(JSON, over=10**6, level=1).loads(written) == LONG


def test_a_value_that_no_reader_would_decompress_stays_plain() -> None:
    small = CompressedSerializer(JSON, over=0, max_bytes=1000)
    assert small.dumps("x" * 998)[:1] == b"\x01"
    assert small.dumps("x" * 999)[:1] == b"\x00"
    for length in (998, 999):
        assert small.loads(small.dumps("x" * length)) == "x" * length


def without_stated_size(data: bytes) -> bytes:
    writer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 20})
    return writer.compress(data[:1]) + writer.compress(data[1:]) + writer.flush()


@pytest.mark.parametrize("frame", [zstd.compress, without_stated_size])
def test_a_bomb_does_not_decode_beyond_its_bound(frame: Any) -> None:
    reader = CompressedSerializer(JSON, over=0, max_bytes=2**20)
    fits = b'"' + b"x" * (2**20 - 2) + b'"'
    assert len(reader.loads(b"\x01" + frame(fits))) == 2**20 - 2  # type: ignore[arg-type]
    for size in (2**20 + 1, 2**26):
        with pytest.raises(DecodeError, match=r"more than|not a zstd"):
            reader.loads(b"\x01" + frame(b" " * size))


def test_a_frame_that_asks_for_a_window_beyond_the_bound_does_not_decode() -> None:
    greedy = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    frame = greedy.compress(b"1") + greedy.flush()
    assert zstd.decompress(frame) == b"1"
    with pytest.raises(DecodeError):
        CompressedSerializer(JSON, over=0).loads(b"\x01" + frame)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02null",
        b"\x01",
        b"\x01null",
        b"\x01" + zstd.compress(b"null")[:-1],
        b"\x01" + zstd.compress(b"null") + b"\x00",
        b"\x01" + zstd.compress(b"null") * 2,
    ],
)
def test_what_is_not_exactly_one_marked_frame_does_not_decode(data: bytes) -> None:
    with pytest.raises(DecodeError):
        CompressedSerializer(JSON, over=0).loads(data)


@pytest.mark.parametrize(
    "bad",
    [{"over": -1}, {"over": True}, {"over": 1.5}, {"level": 99}, {"max_bytes": 0}],
)
def test_compression_that_cannot_work_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(bad))} is "):
        CompressedSerializer(JSON, **{"over": 1, **bad})


def test_without_the_extra_only_compression_is_missing() -> None:
    script = """
import sys
sys.modules["backports"] = sys.modules["compression.zstd"] = None
from routecache.errors import ConfigurationError
from routecache.serializers import CompressedSerializer, JsonSerializer
try:
    CompressedSerializer(JsonSerializer(), over=1)
except ConfigurationError as error:
    sys.exit("routecache[zstd]" not in str(error))
sys.exit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_payload_of_a_known_key_is_read_and_the_first_key_signs() -> None:
    before, between, after = (SignedSerializer(JSON, k) for k in (KEY, [KEY, OTHER], [OTHER, KEY]))
    assert before.dumps([1]) == between.dumps([1]) != after.dumps([1])
    assert between.loads(after.dumps([1])) == after.loads(before.dumps([1])) == [1]
    with pytest.raises(DecodeError):
        before.loads(after.dumps([1]))


@given(st.data())
def test_a_payload_with_any_byte_changed_does_not_decode(data: st.DataObject) -> None:
    signed = SignedSerializer(JSON, KEY)
    payload = bytearray(signed.dumps({"a": [1, 2]}))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecodeError):
        signed.loads(bytes(payload))


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 33])
def test_a_payload_cut_short_does_not_decode(cut: int) -> None:
    signed = SignedSerializer(JSON, KEY)
    with pytest.raises(DecodeError):
        signed.loads(signed.dumps([1])[:cut])


def test_a_payload_of_another_inner_serializer_does_not_decode() -> None:
    number = SignedSerializer(MsgpackSerializer(), KEY).dumps(49)
    with pytest.raises(DecodeError, match="signed"):
        SignedSerializer(JSON, KEY).loads(number)


@pytest.mark.parametrize(
    "key",
    [b"", b"s3cret" * 2, [], (), "s3cret" * 5, [OTHER, b"s3cret"], ["s3cret" * 5], None, 5, [16]],
)
def test_a_key_that_cannot_work_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SignedSerializer(JSON, key)
    assert "s3cret" not in str(caught.value)


def test_nothing_that_prints_a_signer_prints_its_key() -> None:
    secret = b"not to be seen by anyone"
    signed = SignedSerializer(JSON, [secret, KEY])
    assert "2 keys" in repr(signed)
    state = [repr(getattr(signed, slot)) for slot in SignedSerializer.__slots__]
    shown = "".join([repr(signed), str(signed), *state])
    assert "seen" not in shown
    assert secret.hex() not in shown


def test_names_compose_and_stay_bounded() -> None:
    inner: list[Serializer] = [JSON, MsgpackSerializer(), TypedSerializer(list[int]), Odd()]
    wrapped = [SignedSerializer(CompressedSerializer(one, over=1), KEY) for one in inner]
    names = [one.name for one in wrapped]
    assert names[:3] == [
        "signed+zstd+json",
        "signed+zstd+msgpack",
        f"signed+zstd+{inner[2].name}",
    ]
    deep: Serializer = Odd()
    for _ in range(20):
        deep = CompressedSerializer(deep, over=1)
        names.append(deep.name)
    assert len(set(names)) == len(names)
    assert all(len(name) <= 64 and name.isascii() for name in names)


def test_wrappers_raise_what_the_inner_serializer_refuses() -> None:
    wrapped = SignedSerializer(CompressedSerializer(JSON, over=1), KEY)
    assert isinstance(wrapped, Serializer)
    with pytest.raises(SerializationError, match=r"value\['a'\] is tuple"):
        wrapped.dumps({"a": ()})


def test_threads_may_share_a_serializer() -> None:
    shared: list[Serializer] = [
        SignedSerializer(CompressedSerializer(JSON, over=1), [KEY, OTHER]),
        SignedSerializer(CompressedSerializer(TypedSerializer(list[str]), over=1), KEY),
    ]
    failed: list[object] = []

    def use(number: int) -> None:
        value = [f"{number}-{i}" * 20 for i in range(50)]
        for _ in range(50):
            failed.extend(one for one in shared if one.loads(one.dumps(value)) != value)

    threads = [threading.Thread(target=use, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_payloads_of_an_unknown_key_or_broken_are_counted_misses() -> None:
    timer = ManualTimer()
    remote = FakeRemote(timer)

    def cache(name: str, serializer: Serializer) -> BaseCacheManager:
        return BaseCacheManager(
            redis_client=remote, cache_prefix="p", name=name, timer=timer, serializer=serializer
        )

    with cache("signs", SignedSerializer(JSON, KEY)) as signs:
        signs.set("k", [1])
        with cache("knows", SignedSerializer(JSON, [OTHER, KEY])) as knows:
            assert knows.get("k") == [1]
        with cache("stranger", SignedSerializer(JSON, OTHER)) as stranger:
            assert stranger.get("k", MISS) is MISS
            assert stranger.get_stats()["misses_by_reason"] == {"undecodable": 1}


class BrokenUtf8(JsonSerializer):
    def dumps(self, value: object) -> bytes:
        return b'"\xff"'


def test_json_that_is_not_utf8_is_a_counted_miss() -> None:
    timer = ManualTimer()
    remote = FakeRemote(timer)
    with (
        BaseCacheManager(
            redis_client=remote, cache_prefix="p", name="w", timer=timer, serializer=BrokenUtf8()
        ) as writes,
        BaseCacheManager(redis_client=remote, cache_prefix="p", name="r", timer=timer) as reads,
    ):
        writes.set("k", 1)
        assert reads.get("k", MISS) is MISS
        assert reads.get_stats()["misses_by_reason"] == {"undecodable": 1}
