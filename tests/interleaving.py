"""Interleavings of load, delete, set and tag invalidation over members, against a plain model.

The source of truth is a version number for each key. Who changes a key raises its version first,
so what is served afterwards must not be older: at once by the process that changed it, and by the
others from when they agree, which the driver says (`agreed`). A load reads the version when it
begins and may end at any time later.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import redis

from routecache import Policy
from tests.members import Driver, Member, ProcessMember, Spec, Without
from tests.topologies import One

PREFIX: Final = "interleaved"
DRIVERS: Final[tuple[Driver, ...]] = ("sync", "asyncio")


class World:
    """Members that share an L2, and what each of them may serve at the oldest."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.versions: Counter[str] = Counter()
        self.oldest: list[Counter[str]] = [Counter() for _ in members]
        self.held: list[tuple[int, str]] = []
        self.violations: list[str] = []
        self.seen: Counter[str] = Counter()
        self.history: list[str] = []

    def load(self, who: int, key: str) -> None:
        """Begin a load and hold it, unless one is held already."""
        if (who, key) in self.held:
            return
        held = self.members[who].load(key, self.versions[key], [f"tag {key}"])
        self.history.append(f"{who} loads {key}" if held else f"{who} has {key}")
        if held:
            self.held.append((who, key))
            self.seen["loads"] += 1

    def finish(self, n: int) -> None:
        """End the load that was begun `n`th of those that are held."""
        if self.held:
            who, key = self.held.pop(n % len(self.held))
            self.history.append(f"{who} ends its load of {key}")
            self.members[who].finish(key)

    def finish_all(self) -> None:
        """End all loads."""
        while self.held:
            self.finish(0)

    def delete(self, who: int, key: str) -> None:
        """Delete `key`."""
        self._change("deletes", who, key, lambda: self.members[who].delete(key))

    def set(self, who: int, key: str) -> None:
        """Write the new version of `key`."""
        tags = [f"tag {key}"]
        how = self.members[who].set
        self._change("sets", who, key, lambda: how(key, self.versions[key], tags))

    def invalidate(self, who: int, key: str) -> None:
        """Invalidate the tag that `key` carries."""
        how = self.members[who].invalidate
        self._change("invalidations", who, key, lambda: how(f"tag {key}"))

    def _change(self, what: str, who: int, key: str, how: Callable[[], None]) -> None:
        self.versions[key] += 1
        self.history.append(f"{who} {what} {key}, version {self.versions[key]}")
        how()
        self.oldest[who][key] = self.versions[key]
        self.seen[what] += 1

    def agreed(self) -> None:
        """All changes so far are known to all from now on."""
        for oldest in self.oldest:
            oldest.update(self.versions - oldest)

    def look(self, who: int, key: str, due: int = 0) -> None:
        """Compare what is served with what may be; from now on nothing older than `due` may."""
        oldest = self.oldest[who]
        oldest[key] = max(oldest[key], due)
        value = self.members[who].get(key)
        self.history.append(f"{who} sees {value} at {key}")
        self.seen["look-ups"] += 1
        if value is None:
            return
        self.seen["values served"] += 1
        if value < oldest[key]:
            self.violations.append(
                f"{key}: process {who} serves version {value}, {oldest[key]} is due, after: "
                + "; ".join(self.history)
            )


class Interleavings:
    """Seeded random interleavings over two processes and a Redis that is killed and restarted.

    One process has a sync manager and the other an asyncio one. An interleaving is fourteen steps
    over three keys of its own, in about one of `outage_every` of them with a kill -9 in the middle
    and a restart some steps later; at its end all that was changed must be seen by all. Every
    write is on disk before Redis answers it. A context manager.

    without: what to switch off in the members.
    """

    STEPS = 14

    def __init__(self, seed: int, outage_every: int, without: Without | None = None) -> None:
        self.outages = 0
        self._chance = random.Random(seed)
        self._outage_every = outage_every
        self._marks = 0
        with ExitStack() as stack:
            self._topology = stack.enter_context(One(appendonly="yes", appendfsync="always"))
            url, policy = self._topology.url, Policy(l2_timeout=1.0)
            self._members = [
                stack.enter_context(
                    ProcessMember(Spec(driver, url, PREFIX, policy, without=without))
                )
                for driver in DRIVERS
            ]
            self._client = stack.enter_context(redis.Redis.from_url(url))
            self.world = World(self._members)
            self.agree()
            self._ends = stack.pop_all()

    def run(self, n: int) -> None:
        """The `n`th interleaving."""
        chance, world = self._chance, self.world
        world.history = []
        keys = [f"{n}.{name}" for name in "abc"]
        outage = range(0)
        if chance.randrange(self._outage_every) == 0:
            start = chance.randrange(2, self.STEPS - 2)
            outage = range(start, chance.randrange(start + 1, self.STEPS))
        for step in range(self.STEPS):
            if outage and step == outage.start:
                world.history.append("Redis is killed")
                self._topology.primary().kill()
            if outage and step == outage.stop:
                self._topology.primary().start()
                world.history.append("Redis is restarted")
                self.outages += 1
                self.agree()
            self._step(keys, up=step not in outage)
        world.finish_all()
        self.agree()
        for key in keys:
            for who in range(len(self._members)):
                world.look(who, key)

    def _step(self, keys: list[str], *, up: bool) -> None:
        chance, world = self._chance, self.world
        who, key = chance.randrange(len(self._members)), chance.choice(keys)
        steps: list[Callable[[], Any]] = [
            lambda: world.load(who, key),
            lambda: world.load(who, key),
            lambda: world.load(who, key),
            lambda: world.finish(chance.randrange(6)),
            lambda: world.finish(chance.randrange(6)),
            lambda: world.delete(who, key),
            lambda: world.set(who, key),
            lambda: world.invalidate(who, key),
            lambda: world.look(who, key),
            self.agree if up else lambda: world.look(who, key),
        ]
        chance.choice(steps)()

    def agree(self) -> None:
        """Wait until all members have heard of everything, and L2 is owed nothing.

        Redis tells a listener of what it did in the order in which it did it. So who has heard of
        a mark that was written last has heard of all before.
        """
        for _ in range(5):
            for member in self._members:
                member.tell("settle")
            for member in self._members:
                member.answer()
            if self._heard():
                self.world.agreed()
                return
        raise AssertionError("a mark was written five times and not heard")

    def _heard(self) -> bool:
        self._marks += 1
        key = f"mark {self._marks}"
        for member in self._members:
            member.ask("expect", key)
        self._client.set(f"{PREFIX}:v1:{{{key}}}", b"", px=1000)
        for member in self._members:
            member.tell("heard", 2.0)
        heard = [member.answer() for member in self._members]
        return all(heard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()
