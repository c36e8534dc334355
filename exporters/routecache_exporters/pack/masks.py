"""Which alert explains which others, and which may come beside it.

One fault makes a dozen things true at once, and the slow windows of the objectives stay true for
hours after it is over. This table says what a cause explains: Alertmanager then holds the symptom
back (`alertmanager.py`), docs/alerts.md tells it, and a test that injects a fault allows what the
table allows and nothing else.

A page is never held back by a ticket: a table that wants that is refused. Alerts are named without
the prefix `RouteCache`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Mask:
    """What one cause has to do with other alerts.

    explains: symptoms that are held back, within the cause's fleet (the aggregation labels).
    accompanies: alerts that the cause may bring along and that are told all the same: they say
        something that the cause does not.
    """

    explains: tuple[str, ...] = ()
    accompanies: tuple[str, ...] = ()


_BUDGETS: Final = ("LookupBudgetBurn", "LatencyBudgetBurn", "FreshnessBudgetBurn")
_OF_L2: Final = ("L2ErrorRatioHigh", "L2LatencyHigh", "PoolSaturated")
_OF_LISTENERS: Final = ("ListenerDisconnected", "ListenerFlapping")
_OF_LOADERS: Final = ("LoadErrors", "LoadLatencyHigh", "LoaderOverload")

MASKS: Final[Mapping[str, Mask]] = MappingProxyType({
    # Redis is away: nothing that needs it works, every process loads for itself, L1 empties.
    "L2Down": Mask(
        explains=(
            *_BUDGETS, "InvalidationStalled", "L2UnreachableFromSome", *_OF_L2, *_OF_LISTENERS,
            "MissRatioJumped", "Stampede", "StaleServing", "RecoveryOverflow",
            "CacheCostsMoreThanItSaves",
        ),
        # The danger of an outage is to the loaders: whoever is paged must see it.
        accompanies=_OF_LOADERS,
    ),
    "L2UnreachableFromSome": Mask(
        explains=("L2ErrorRatioHigh", *_OF_LISTENERS),
        accompanies=(
            *_BUDGETS, "L2LatencyHigh", "PoolSaturated", "InvalidationStalled", "StaleServing",
            "MissRatioJumped", "RecoveryOverflow",
        ),
    ),
    "InvalidationStalled": Mask(
        explains=("FreshnessBudgetBurn", *_OF_LISTENERS),
        accompanies=("MissRatioJumped", "StaleServing"),
    ),
    "ListenerDisconnected": Mask(
        explains=("ListenerFlapping",),
        accompanies=("FreshnessBudgetBurn", "InvalidationStalled", "MissRatioJumped"),
    ),
    "ListenerFlapping": Mask(
        accompanies=("FreshnessBudgetBurn", "ListenerDisconnected", "MissRatioJumped"),
    ),
    # Each of these spends a budget; the page says how fast, the ticket says why.
    "L2ErrorRatioHigh": Mask(
        accompanies=(*_BUDGETS, "L2LatencyHigh", "PoolSaturated", "MissRatioJumped"),
    ),
    "L2LatencyHigh": Mask(
        explains=("PoolSaturated",),
        accompanies=(*_BUDGETS, "L2ErrorRatioHigh", "MissRatioJumped", "CacheCostsMoreThanItSaves"),
    ),
    "PoolSaturated": Mask(
        accompanies=(*_BUDGETS, "L2ErrorRatioHigh", "L2LatencyHigh", "MissRatioJumped"),
    ),
    "DecodeFailures": Mask(
        explains=("MissRatioJumped",),
        accompanies=("LookupBudgetBurn", *_OF_LOADERS),
    ),
    "RedisEvictingLiveEntries": Mask(
        explains=("MissRatioJumped",),
        accompanies=("L2ErrorRatioHigh", *_OF_LOADERS),
    ),
    "L1Thrashing": Mask(accompanies=("MissRatioJumped", "LatencyBudgetBurn", *_OF_LOADERS)),
    "MissRatioJumped": Mask(accompanies=("LatencyBudgetBurn", *_OF_LOADERS)),
    "Stampede": Mask(accompanies=_OF_LOADERS),
    # A loader that fails or is slow.
    "LoadErrors": Mask(
        accompanies=("StaleServing", "LoadLatencyHigh", "MissRatioJumped", "WarmupFailed"),
    ),
    "LoadLatencyHigh": Mask(
        explains=("LoaderOverload",), accompanies=("LoadErrors", "Stampede", "WarmupFailed"),
    ),
    "LoaderOverload": Mask(accompanies=("LoadErrors", "Stampede")),
    # What keeps a warm-up from its values fails requests as well.
    "WarmupFailed": Mask(accompanies=("LoadErrors", "LoadLatencyHigh")),
    "CardinalityOverflow": Mask(accompanies=("CollectorFailing",)),
    # A page's own ticket, for the windows that stay true after it.
    **{budget: Mask(explains=(budget,)) for budget in _BUDGETS},
})  # fmt: skip
"""The shipped table, by cause."""

CAUSES: Final = (
    *_BUDGETS, "L2Down", "InvalidationStalled", "MetricsAbsent", "L2UnreachableFromSome", *_OF_L2,
    "RedisEvictingLiveEntries", "MissRatioJumped", "L1Thrashing", *_OF_LOADERS, "Stampede",
    "WarmupFailed", *_OF_LISTENERS, "StaleServing", "DecodeFailures", "RecoveryOverflow",
    "CacheCostsMoreThanItSaves", "TargetDown", "ExporterUnmounted", "CollectorFailing",
    "CardinalityOverflow", "ProviderUnhealthy",
)  # fmt: skip
"""Every alert that tells somebody something."""


def allowed(cause: str, masks: Mapping[str, Mask] = MASKS) -> frozenset[str]:
    """Every alert that may notify while `cause`'s fault is there, or after it.

    Itself, and what it may bring along, and what that may bring along in turn; what the cause
    explains is held back, and is not allowed to notify.

    Args:
        cause: an alert, without prefix. One that is no cause in the table is alone.
        masks: the table.
    """
    explained = frozenset(masks.get(cause, Mask()).explains) - {cause}
    found, ahead = {cause}, [cause]
    while ahead:
        mask = masks.get(ahead.pop(), Mask())
        new = set(mask.accompanies) - found - explained
        found |= new
        ahead += new
    return frozenset(found)


def mistakes(masks: Mapping[str, Mask], pages: Iterable[str], known: Iterable[str]) -> list[str]:
    """What is wrong with a table, in sentences; none if it is right.

    Args:
        masks: the table.
        pages: the alerts that page, at their most severe.
        known: every alert.
    """
    return list(_mistakes(masks, frozenset(pages), frozenset(known)))


def _mistakes(
    masks: Mapping[str, Mask], pages: frozenset[str], known: frozenset[str]
) -> Iterator[str]:
    for cause, mask in masks.items():
        for name in (cause, *mask.explains, *mask.accompanies):
            if name not in known:
                yield f"{cause}: there is no alert {name}"
        for both in sorted(set(mask.explains) & set(mask.accompanies)):
            yield f"{cause}: {both} is either explained or accompanies, not both"
        for page in pages.intersection(mask.explains) if cause not in pages else ():
            yield f"{cause}, a ticket, must not hold back {page}, a page"
