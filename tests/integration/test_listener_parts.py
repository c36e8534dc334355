"""The listener's parts that decide without I/O, or that a real server cannot be made to show."""

import math
import threading
from typing import Any

import pytest
from redis.crc import key_slot

from routecache.errors import RemoteError
from routecache.remote import messages
from routecache.remote.connector import Connector, Done
from routecache.remote.heartbeat import Beats, Heart, tag_for
from routecache.remote.interest import Watches, cache_prefix, channel_of, minimal
from routecache.testing import ManualTimer
from tests.helpers import eventually
from tests.listening import Recorder


@pytest.mark.parametrize(
    ("prefixes", "kept"),
    [
        ([b"a", b"ab", b"abc", b"b"], [b"a", b"b"]),
        ([b"a:v1:{", b"a:tag:", b"a:v1:{"], [b"a:tag:", b"a:v1:{"]),
        ([b"ab", b"a\xff", b"a"], [b"a"]),
        ([], []),
    ],
)
def test_of_prefixes_that_contain_each_other_the_covering_one_is_kept(
    prefixes: list[bytes], kept: list[bytes]
) -> None:
    assert list(minimal(prefixes)) == kept


@pytest.mark.parametrize(
    ("watched", "prefix"),
    [
        (b"routing:model:v1:{", b"routing:model"),
        (b"routing:model:v12:{", b"routing:model"),
        (b"routing:model:tag:", b"routing:model"),
        (b"a:v1:{b:v1:{", b"a:v1:{b"),
        (b"other:", b"other"),
        (b"other", b"other"),
    ],
)
def test_the_cache_of_a_prefix_names_its_channel(watched: bytes, prefix: bytes) -> None:
    assert cache_prefix(watched) == prefix
    assert channel_of(watched) == prefix + b":inv"


def test_a_beat_tells_its_lag_once_and_until_when_nothing_was_missed() -> None:
    beats = Beats(interval=1.0, lost_after=10.0, now=100.0)
    assert beats.due_at == 100.0
    assert beats.lost_at == math.inf
    beats.sent(b"hb:1", 100.0)
    beats.sent(b"hb:2", 101.0)
    assert beats.due_at == 102.0
    assert beats.lost_at == 110.0
    assert beats.verified == 100.0
    assert beats.heard(b"hb:1", 100.25) == 0.25
    assert beats.heard(b"hb:2", 101.5) == 0.5
    assert beats.verified == 101.0
    assert beats.heard(b"hb:1", 102.0) is None  # its expiry
    assert beats.verified == 101.0
    assert len(beats) == 0


def test_a_ping_in_a_beats_place_says_that_nothing_was_missed_and_is_no_probe() -> None:
    beats = Beats(interval=1.0, lost_after=10.0, now=0.0)
    beats.sent(b"hb:1", 1.0)
    assert beats.refused(b"hb:1")
    assert not beats.refused(b"hb:1")
    beats.sent(b"hb:1", 1.5, probe=False)
    assert len(beats) == 0
    assert beats.lost_at == 11.5
    assert beats.heard(b"hb:1", 2.0) is None
    assert beats.verified == 1.5


def test_no_two_beats_have_a_key_in_common_and_all_of_a_node_have_a_slot() -> None:
    heart = Heart(b"routing:model", "0a1b")
    beats = [heart.beat(b"2f") for _ in range(100)]
    assert len(set(beats)) == 100
    assert all(beat.startswith(b"routing:model:hb:0a1b:") for beat in beats)
    assert {key_slot(beat) for beat in beats} == {key_slot(b"2f")}


NODES = b"""\
07c3 127.0.0.1:30004@31004 slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
e7d1 127.0.0.1:30001@31001,host myself,master - 0 0 1 connected 17 %s [93-<-67ed]
"""


@pytest.mark.parametrize("low", [0, 5000, 16000])
def test_a_tag_lies_in_the_slots_of_the_node_that_was_asked(low: int) -> None:
    tag = tag_for(NODES % (b"%d-%d" % (low, low + 300)))
    assert tag is not None
    assert low <= key_slot(tag) <= low + 300 or key_slot(tag) == 17


def test_a_node_without_slots_has_no_tag() -> None:
    assert tag_for(b"e7d1 127.0.0.1:1@2 myself,master - 0 0 1 connected\n") is None
    assert tag_for(b"") is None


HEART = b"p:hb:1"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ([b"subscribe", messages.INVALIDATE, 1], messages.Message()),
        ([b"message", messages.INVALIDATE, None], messages.Message(None)),
        ([b"message", messages.INVALIDATE, [b"a", b"b"]], messages.Message([b"a", b"b"])),
        ([b"message", messages.INVALIDATE, [b"p:hb:1:2"]], messages.Message([], [b"p:hb:1:2"])),
        (
            [b"message", messages.INVALIDATE, [b"a", b"p:hb:1:2"]],
            messages.Message([b"a"], [b"p:hb:1:2"]),
        ),
        ([b"message", HEART, b"p:hb:1:2"], messages.Message((), (b"p:hb:1:2",))),
        ([b"pong", b"p:hb:1:2"], messages.Message((), (b"p:hb:1:2",))),
        (b"OK", messages.Message()),
        (
            [b"message", b"p:inv", messages.message_for([b"a", b"\xff"])],
            messages.Message([b"a", b"\xff"], channel=b"p:inv"),
        ),
        (
            [b"message", b"p:inv", messages.message_for(None)],
            messages.Message(None, channel=b"p:inv"),
        ),
        ([b"message", b"p:inv", b"\xc1"], messages.Message(None, channel=b"p:inv")),
        ([b"message", b"p:inv", b"\x91\x01"], messages.Message(None, channel=b"p:inv")),
    ],
)
def test_what_each_message_means(reply: Any, message: messages.Message) -> None:
    read = messages.read(reply, HEART)
    assert read == messages.Message(message.keys, message.beats, message.channel)


def test_a_sink_is_told_of_a_gap_once_unless_it_turns_out_to_be_longer() -> None:
    watches, sink = Watches(), Recorder()
    watches.add([b"a"], sink)
    watches.lost(5.0)
    assert sink.events == []  # it never was connected
    watches.listening(lambda prefix: prefix == b"b")
    assert sink.events == []
    watches.listening(lambda prefix: prefix == b"a")
    watches.listening(lambda prefix: prefix == b"a")
    watches.lost(5.0)
    watches.lost(6.0)
    watches.lost(4.0)
    watches.listening(lambda prefix: True)
    told = [(name, at) for name, at, _ in sink.events]
    gap = [("disconnected", 5.0), ("disconnected", 4.0)]
    assert told == [("reconnected", None), *gap, ("reconnected", None)]


def test_delays_between_attempts_double_to_two_seconds_and_vary() -> None:
    timer = ManualTimer()
    connector = Connector(lambda: (), lambda: Beats(1, 1, 0), lambda: None, timer)
    limits = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    for limit in limits:
        connector.back_off()
        assert limit / 2 <= connector.not_before - timer() <= limit
    delays = set()
    for _ in range(10):
        connector.succeeded()
        connector.back_off()
        delays.add(connector.not_before - timer())
    assert max(delays) <= 0.05
    assert len(delays) > 1


def test_an_attempt_that_cannot_ask_for_the_primaries_has_failed() -> None:
    woken = threading.Event()

    def connect() -> list[Any]:
        raise RemoteError("cluster")

    connector = Connector(connect, lambda: Beats(1, 1, 0), woken.set, ManualTimer())
    connector.start((b"a",), Heart(b"p", "1"), (), may_track=True)
    assert woken.wait(5)
    eventually(lambda: list(connector.news) == [Done(ok=False)])
    connector.stop()
    assert not connector.news
