"""What a replay found, as numbers: for the table of `table.py` and as JSON for machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from routecache.registry import ProcessSnapshot
from routecache_exporters.replay.arguments import Speed
from routecache_exporters.replay.books import CacheBooks, between
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.pace import Order
from routecache_exporters.replay.runner import CACHES, Tally

QUANTILES: Final = "interpolated within histogram buckets, not measured"


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a log was replayed.

    cost: seconds that one computation by the policy is said to take.
    cost_spent: whether that time really passed; otherwise it is only accounted.
    speed: logged seconds per second, None for as fast as possible, or "log" for the log's time.
    redis: the URL without credentials, or None without Redis.
    workers: processes that shared the rows.
    """

    log: str
    context: str
    cost: float
    cost_spent: bool
    speed: Speed
    redis: str | None
    workers: int = 1


class Replayed(Protocol):
    """What was asked, and what came of it."""

    @property
    def requests(self) -> int:
        """Rows of the log that were asked for."""
        ...

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """By cache name."""
        ...

    @property
    def elapsed(self) -> float:
        """Seconds."""
        ...

    @property
    def first_exception(self) -> str | None:
        """Type and text of the first exception that a call raised."""
        ...


@dataclass(frozen=True, slots=True)
class CacheReport:
    """One cache: its own books, the replay's tally and the seconds it saved."""

    books: CacheBooks
    tally: Tally
    cost: float

    @property
    def seconds_saved(self) -> float:
        """Hits times the cost of computing an answer."""
        return self.books.hits * self.cost

    def as_dict(self) -> dict[str, object]:
        """For JSON; durations in seconds."""
        return {
            "requests": self.books.requests,
            "hits": {"l1": self.books.l1_hits, "l2": self.books.l2_hits},
            "misses": dict(self.books.misses),
            "hit_ratio": self.books.hit_ratio,
            "latency_seconds": {
                outcome: {"count": h.count, "p50": h.quantile(0.5), "p99": h.quantile(0.99)}
                for outcome, h in self.books.latency.items()
            },
            "entries": self.books.entries,
            "seconds_saved": self.seconds_saved,
            "first_l1_misses": self.tally.first_l1_misses,
            "first_l1_misses_l2_hits": self.tally.first_l1_misses_l2_hits,
            "wrong_answers": self.tally.wrong_answers,
            "exceptions": self.tally.exceptions,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A finished (or interrupted) replay.

    behind: seconds, at most, between a request's logged time and its own.
    order: how far the log's requests are from the order of their times.
    doubt: what numbers in the place of times were taken for, if they may be something else.
    """

    terms: Terms
    caches: Mapping[str, CacheReport]
    rows: int
    bad: BadRows
    elapsed: float
    behind: float
    interrupted: bool
    first_exception: str | None
    order: Order = field(default_factory=Order)
    doubt: str | None = None

    def total(self, what: str) -> int:
        """The sum over caches of a field of `Tally`."""
        return sum(int(getattr(cache.tally, what)) for cache in self.caches.values())

    @property
    def requests(self) -> int:
        """Look-ups over all caches, by their own books."""
        return sum(cache.books.requests for cache in self.caches.values())

    @property
    def hit_ratio(self) -> float | None:
        """Hits per look-up over all caches."""
        hits = sum(cache.books.hits for cache in self.caches.values())
        return hits / self.requests if self.requests else None

    @property
    def seconds_saved(self) -> float:
        """Over all caches."""
        return sum(cache.seconds_saved for cache in self.caches.values())

    @property
    def l2_unavailable(self) -> int:
        """Misses because Redis did not answer."""
        return sum(c.books.misses.get("l2_unavailable", 0) for c in self.caches.values())

    @property
    def books_balance(self) -> bool:
        """Whether the caches counted exactly the look-ups that the replay made."""
        return all(c.books.requests == c.tally.requests for c in self.caches.values())

    @property
    def ok(self) -> bool:
        """Whether every call answered, and answered right."""
        return not (self.total("wrong_answers") or self.total("exceptions"))

    def as_dict(self) -> dict[str, object]:
        """For JSON; durations in seconds."""
        hits = {
            "l1": sum(cache.books.l1_hits for cache in self.caches.values()),
            "l2": sum(cache.books.l2_hits for cache in self.caches.values()),
        }
        terms = self.terms
        return {
            "log": terms.log,
            "context": terms.context,
            "workers": terms.workers,
            "speed": "max" if terms.speed is None else terms.speed,
            "ttls_advance": terms.speed is not None,
            "redis": terms.redis,
            "cost_seconds": terms.cost,
            "cost_spent": terms.cost_spent,
            "rows": self.rows,
            "bad_rows": {
                "count": self.bad.count,
                "first": [{"line": row.line, "reason": row.reason} for row in self.bad.first],
            },
            "elapsed_seconds": self.elapsed,
            "behind_seconds": self.behind,
            "out_of_order": {"requests": self.order.late, "seconds": self.order.most},
            "interrupted": self.interrupted,
            "quantiles": QUANTILES,
            "caches": {name: cache.as_dict() for name, cache in self.caches.items()},
            "overall": {
                "requests": self.requests,
                "hits": hits,
                "hit_ratio": self.hit_ratio,
                "seconds_saved": self.seconds_saved,
                "first_l1_misses": self.total("first_l1_misses"),
                "first_l1_misses_l2_hits": self.total("first_l1_misses_l2_hits"),
                "l2_unavailable": self.l2_unavailable,
            },
            "wrong_answers": self.total("wrong_answers"),
            "exceptions": self.total("exceptions"),
            "first_exception": self.first_exception,
            "books_balance": self.books_balance,
        }


def make_report(
    terms: Terms,
    replayer: Replayed,
    bad: BadRows,
    before: ProcessSnapshot,
    after: ProcessSnapshot,
    *,
    behind: float = 0.0,
    order: Order | None = None,
    doubt: str | None = None,
    interrupted: bool = False,
) -> Report:
    """Put together what the caches counted between two snapshots and what the replay counted."""
    caches = {}
    for name in CACHES:
        books = between(before, after, name)
        caches[name] = CacheReport(books, replayer.tallies[name], _cost(terms, books))
    return Report(
        terms,
        caches,
        replayer.requests,
        bad,
        replayer.elapsed,
        behind,
        interrupted,
        replayer.first_exception,
        order or Order(),
        doubt,
    )


def without_credentials(url: str) -> str:
    """`url` without user, password and query, fit for a report."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _cost(terms: Terms, books: CacheBooks) -> float:
    """Seconds per computation: as measured when the cost was really spent, else as configured."""
    loads = books.load_duration
    return loads.sum / loads.count if terms.cost_spent and loads.count else terms.cost
