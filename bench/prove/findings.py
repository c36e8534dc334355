"""What a proof found: figures, beside the bounds that they have to keep."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Sign: TypeAlias = Literal["=", "≤", "≥"]

_KEEPS: Final[dict[Sign, Callable[[float, float], bool]]] = {
    "=": lambda seen, limit: seen == limit,
    "≤": lambda seen, limit: seen <= limit,
    "≥": lambda seen, limit: seen >= limit,
}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure has to keep; `timed` if a busy machine may break it."""

    sign: Sign
    limit: float
    timed: bool

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure that was seen, of the case `case`."""

    case: str
    what: str
    seen: float
    unit: str = ""
    bound: Bound | None = None

    @property
    def kept(self) -> bool:
        """Whether its bound holds; true without one."""
        return self.bound is None or _KEEPS[self.bound.sign](self.seen, self.bound.limit)

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.bound is None:
            return ""
        if self.kept:
            return "kept"
        return "missed" if self.bound.timed else "BROKEN"

    def __str__(self) -> str:
        number = f"{self.seen:,.0f}" if float(self.seen).is_integer() else f"{self.seen:,.4g}"
        return f"{number} {self.unit}".rstrip()


@dataclass(slots=True)
class Findings:
    """The figures of one proof. `show` is told of each, `advance` of how far the proof is.

    seed: of everything random.
    """

    seed: int
    show: Callable[[Figure], None]
    advance: Callable[[float, str], None]
    figures: list[Figure] = field(default_factory=list)
    case: str = ""

    def saw(self, what: str, seen: float, unit: str = "") -> None:
        """A figure without a bound."""
        self._add(Figure(self.case, what, seen, unit))

    def must(self, what: str, seen: float, sign: Sign, limit: float, unit: str = "") -> None:
        """A figure whose bound is a matter of correctness."""
        self._add(Figure(self.case, what, seen, unit, Bound(sign, limit, timed=False)))

    def timed(self, what: str, seen: float, sign: Sign, limit: float, unit: str = "") -> None:
        """A figure whose bound a busy machine may break."""
        self._add(Figure(self.case, what, seen, unit, Bound(sign, limit, timed=True)))

    def _add(self, figure: Figure) -> None:
        self.figures.append(figure)
        self.show(figure)


def quantile(values: Sequence[float], q: float) -> float:
    """The `q` quantile of the measured values themselves."""
    return sorted(values)[min(len(values) - 1, math.ceil(q * len(values)) - 1)]
