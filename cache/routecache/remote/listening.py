"""The thread of a listener: it hears all primaries and keeps them listened to."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import hiredis

from routecache.remote import messages
from routecache.remote.connector import Connector, Done
from routecache.remote.endpoint import CONNECT_TIMEOUT
from routecache.remote.feed import Feed
from routecache.remote.hearing import ListenerStats, Status
from routecache.remote.heartbeat import Beats, Heart
from routecache.remote.interest import Watches
from routecache.remote.roster import Roster, Waiter
from routecache.remote.subscription import Address, Link, Primary

_logger = logging.getLogger("routecache")

_PROOF = 2 * CONNECT_TIMEOUT  # seconds for a link's first heartbeat to come back
_BEAT_LIFE = 2  # heartbeat intervals
_PAUSE = 0.05  # seconds after an error of our own


@dataclass(frozen=True, slots=True)
class Plan:
    """What a listener's thread goes by; times in seconds.

    `changing` says whether `connect` may name other primaries while all links stand.
    """

    alias: str
    connect: Callable[[], Sequence[Primary]]
    changing: bool
    timer: Callable[[], float]
    interval: float
    lost_after: float


class Loop:
    """One life of a listener's thread, from the first sink to the last.

    `stop` and `wake` are safe for threads, `abandon` is for a forked child; the rest is the
    thread's own.
    """

    def __init__(
        self, plan: Plan, watches: Watches, status: Status, stats: ListenerStats, heart: Heart
    ) -> None:
        self._plan = plan
        self._now = plan.timer
        self._watches = watches
        self._status = status
        self._stats = stats
        self._heart = heart
        self._stopped = threading.Event()
        self._waiter = Waiter()
        self._roster = Roster()
        self._connector = Connector(plan.connect, self._new_beats, self._waiter.ring, plan.timer)
        self._asked_at = self._complete_at = self._connector.not_before = self._now()
        self._losses = 0
        self._may_track = True
        self._watched: tuple[bytes, ...] = ()
        self._watched_version = -1

    def stop(self) -> None:
        """End the thread soon; at most the call that it is in goes on."""
        self._stopped.set()
        self.wake()

    def wake(self) -> None:
        """Have the thread look at what has changed."""
        self._waiter.ring()

    def abandon(self) -> float | None:
        """Let go of a parent's connections; gives until when all was heard, if it was."""
        at = min((link.beats.verified for link in self._roster.links.values()), default=None)
        self._connector.abandon()
        self._close()
        return at

    def run(self) -> None:
        """Listen until `stop`."""
        if self._status.disconnected_since is not None:
            self._watches.lost(self._status.disconnected_since)  # sinks that a fork brought along
        try:
            while not self._stopped.is_set():
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001  # deaf for a moment, not for good
                    _logger.warning("a listener begins anew after %s", type(error).__name__)
                    for link in self._roster.all():
                        self._lose(link)
                    self._stopped.wait(_PAUSE)
        finally:
            self._connector.stop()
            self._close()

    def _turn(self) -> None:
        ready = self._waiter.wait(self._patience())
        self._take_news()
        for link, feed in ready:
            self._read(link, feed)
        self._keep_time()
        self._settle()
        if self._wants_attempt() and self._connector.not_before <= self._now():
            # `connect` is asked anew each time: after a failover it names another server.
            links = self._roster.links.items()
            good = [address for address, link in links if all(map(link.covers, self._watched))]
            self._asked_at = self._now()
            self._connector.start(self._watched, self._heart, good, may_track=self._may_track)

    # What has come

    def _take_news(self) -> None:
        while self._connector.news:
            news = self._connector.news.popleft()
            if isinstance(news, Link):
                self._roster.candidates[news.primary.address] = news
                news.give_up_at = self._now() + min(_PROOF, self._plan.lost_after)
                self._waiter.add(news)
                self._beat(news)
            elif isinstance(news, Done):
                self._connector.busy = False
                if not news.ok or not self._roster.primaries:
                    self._connector.back_off()
            else:
                self._primaries_are(news)

    def _primaries_are(self, primaries: dict[Address, Primary]) -> None:
        roster = self._roster
        if roster.is_complete() and not primaries.keys() <= roster.links.keys():
            self._gap(self._complete_at)  # a primary has come, and was not listened to
        self._complete_at = self._asked_at
        roster.primaries = primaries
        self._status.primaries = len(primaries)
        for address in roster.links.keys() - primaries.keys():
            self._retire(roster.links.pop(address))

    def _read(self, link: Link, feed: Feed) -> None:
        for reply in feed.read():
            if feed is link.commands:
                self._answered(link, reply)
            elif isinstance(reply, hiredis.ReplyError):
                self._refused(link, str(reply).partition(" ")[0])
            else:
                self._hear(link, messages.read(reply, self._heart.prefix))
        if link.broken:
            self._lose(link)
        elif feed.more:
            self._waiter.again(link, feed)

    def _answered(self, link: Link, reply: object) -> None:
        code = link.answered(reply, self._now())
        if code is not None and not self._status.mute:
            self._status.mute = True
            _logger.warning("L2 %s refuses heartbeats (%s)", self._plan.alias, code)

    def _refused(self, link: Link, code: str) -> None:
        if link.proved:
            return  # a PING, of a server that is busy: the heartbeat that it stands for is missing
        link.events.broken = True
        if code not in {"NOPERM", "ERR"}:
            return  # SUBSCRIBE, for now
        # A user may be permitted our own channels and not the one of tracking, or the reverse.
        self._may_track = link.mode == "pubsub"
        if link.mode == "pubsub" and not self._status.forbidden:
            self._status.forbidden = True
            _logger.warning(
                "L2 %s permits this user neither tracking nor our channels: what other processes "
                "write is seen late",
                self._plan.alias,
            )

    def _hear(self, link: Link, message: messages.Message) -> None:
        for key in message.beats:
            if link.beats.under_way(key):
                lag = link.beats.heard(key, self._now())
                if lag is not None:
                    self._stats.heard(lag)
                if not link.proved:
                    self._prove(link)
            elif key == messages.LEAVING and link.leaving:
                self._roster.remove(link)
                self._hang_up(link)
        if message.keys is None or message.keys:
            self._stats.received()
            # Before its proof nothing depends on a link: those whose prefixes it covers are told
            # by the link that it replaces, or are yet to be told to drop what they have.
            if link.proved and not self._stopped.is_set():
                if message.keys is None:
                    self._watches.everything(message.channel)
                else:
                    self._watches.invalidated(message.keys)

    # What becomes of links

    def _prove(self, link: Link) -> None:
        replaced = self._roster.prove(link)
        link.give_up_at = float("inf")
        self._connector.succeeded()
        if link.mode == "pubsub" and self._status.mode != "pubsub":
            _logger.warning(
                "L2 %s refuses CLIENT TRACKING: invalidations go by pub/sub messages of our own",
                self._plan.alias,
            )
        published = any(other.mode == "pubsub" for other in self._roster.links.values())
        self._status.mode = "pubsub" if published else "tracking"
        if replaced is not None:
            self._retire(replaced)
        elif self._losses:
            self._losses -= 1
            self._stats.reconnected()
        self._settle()  # sinks hear of the connection before they hear what it says

    def _retire(self, link: Link) -> None:
        self._roster.leaving.append(link)
        link.leave(self._now(), self._plan.lost_after)

    def _lose(self, link: Link) -> None:
        was = self._roster.remove(link)
        self._stats.lost(len(link.beats))
        self._hang_up(link)
        if was == "heard":
            self._losses += 1
        if was in {"heard", "leaving"}:  # what a leaving link had still to tell is not known
            self._gap(link.beats.verified)
        if was in {"heard", "candidate"}:
            self._connector.back_off()

    def _hang_up(self, link: Link) -> None:
        link.beats.give_up()
        self._waiter.remove(link)
        link.close()

    def _gap(self, at: float) -> None:
        if not self._stopped.is_set():
            self._status.disconnected(at)
            self._watches.lost(at)

    def _settle(self) -> None:
        self._status.up = len(self._roster.links)
        if self._roster.is_complete() and not self._stopped.is_set():
            if self._status.state == "disconnected":
                self._status.connected(self._now())
            self._watches.listening(self._roster.covers)

    # What is due, and when

    def _keep_time(self) -> None:
        now = self._now()
        for link in self._roster.all():
            if min(link.beats.lost_at, link.give_up_at) <= now:
                self._lose(link)
            elif link.beats.due_at <= now and not link.leaving:
                self._beat(link)

    def _beat(self, link: Link) -> None:
        link.beat(self._now(), _BEAT_LIFE * self._plan.interval)
        if link.broken:
            self._lose(link)

    def _wants_attempt(self) -> bool:
        """Whether primaries or links are to be looked for, now or when the back-off is over."""
        if self._watched_version != self._watches.version:
            self._watched_version = self._watches.version
            self._watched = self._watches.prefixes()
        roster = self._roster
        if self._stopped.is_set() or self._connector.busy or roster.candidates:
            return False
        if not roster.is_complete():
            return True
        if roster.leaving:
            return False  # so that links cannot pile up while new prefixes keep coming
        return self._is_old() or not all(map(roster.covers, self._watched))

    def _is_old(self) -> bool:
        return self._plan.changing and self._now() >= self._asked_at + self._plan.lost_after

    def _patience(self) -> float:
        """Seconds until something is due, at most one heartbeat interval."""
        now = self._now()
        at = now + self._plan.interval
        for link in self._roster.all():
            beat_at = at if link.leaving else link.beats.due_at
            at = min(at, beat_at, link.beats.lost_at, link.give_up_at)
        if self._wants_attempt():
            at = min(at, self._connector.not_before)
        return max(0.0, at - now)

    def _new_beats(self) -> Beats:
        return Beats(self._plan.interval, self._plan.lost_after, self._now())

    def _close(self) -> None:
        for link in self._roster.all():
            link.close()
        self._waiter.close()
