"""`Known`: what is known of one provider's health, and what is due for it."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from routecache.routing.damping import Penalty
from routecache.routing.health import HealthReport

MAX_SOURCES: Final = 16
"""Sources remembered per provider. Those that say healthy are pushed out first, then those that
would have fallen silent first."""

# Seconds that a stored status may outlast what it tells of.
_SLACK: Final = 1.0
# Seconds from storing a status until it may be shortened. Where good and bad reports take turns,
# each ends what is told at another time, and all processes would hear of every one of them.
_PAUSE: Final = 30.0

Due: TypeAlias = Literal["drop", "restore", "renew"]
Told: TypeAlias = Literal["drop", "restore"]


@dataclass(slots=True)
class Heard:
    """What a source said, and until when that counts."""

    report: HealthReport
    until: float


@dataclass(slots=True)
class Known:
    """One provider, about which `HealthBoard` decides. Not safe for threads: the board locks.

    stands: what names it was dropped, perhaps in part, and its status not restored since.
    untold, telling: what hooks have to hear, in this order, and what they are hearing.
    stated_at, stated_until: when its status that says unhealthy was stored last, and expires.
    """

    penalty: Penalty
    sources: dict[str, Heard] = field(default_factory=dict[str, Heard])
    due: Due | None = None
    doing: Due | None = None
    stands: bool = False
    untold: list[Told] = field(default_factory=list[Told])
    telling: Told | None = None
    stated_at: float = 0.0
    stated_until: float = 0.0

    @property
    def may_stand(self) -> bool:
        """Whether something is dropped or stored that has to be restored once it is well."""
        return self.doing == "drop" or (self.stands and self.doing != "restore")

    def hear(self, source: str, heard: Heard) -> None:
        """Take in what `source` says, in the place of what it said before."""
        self.sources[source] = heard
        if len(self.sources) > MAX_SOURCES:
            least = min(
                (s for s in self.sources if s != source),
                key=lambda s: (not self.sources[s].report.healthy, self.sources[s].until),
            )
            if heard.report.healthy and not self.sources[least].report.healthy:
                least = source  # good news pushes no bad news out
            del self.sources[least]

    def ill(self, now: float) -> bool:
        """Whether a source says unhealthy; those that fell silent are forgotten."""
        for source in [s for s, heard in self.sources.items() if heard.until <= now]:
            del self.sources[source]
        return any(not heard.report.healthy for heard in self.sources.values())

    def ends_in(self, now: float) -> float:
        """Seconds until the provider is healthy again if nobody says anything more."""
        bad = [heard.until - now for heard in self.sources.values() if not heard.report.healthy]
        return max(*bad, self.penalty.ends_in(now), 0.0)

    def is_misstated(self, now: float, at_most: float) -> bool:
        """Whether its stored status expires in half of what it may tell of, or outlasts that.

        at_most: seconds for which it may be stored.

        What is stored for too short a time is renewed at once: nobody may report it again before
        it expires. So shortening alone has to wait, and there are at most two renewals in
        `_PAUSE`.
        """
        told, left = self.stated_until - now, min(self.ends_in(now), at_most)
        if told > left + _SLACK:
            return now - self.stated_at >= _PAUSE
        return 2 * told <= left

    def has_to_tell(self, kind: Told) -> None:
        """Hooks have to hear it last; of several that they did not hear, once."""
        if kind in self.untold:
            self.untold.remove(kind)
        self.untold.append(kind)

    def tell_again(self) -> None:
        """What hooks were hearing was cut short: all of them have to hear it, before the rest."""
        if self.telling is not None and self.telling not in self.untold:
            self.untold.insert(0, self.telling)
        self.telling = None
