"""Numbers that the configuration decides, as marks that are filled in later.

A dashboard is made once, as a template, and filled in for each configuration
(exporters/routecache_exporters/pack/dashboards.py tells how). So panels do not hold 0.05 but the
mark of the threshold from which an alert fires, in thresholds, queries and descriptions alike.
"""

from typing import Final, Self

from routecache_exporters.pack.config import Config
from routecache_exporters.pack.dashboards import number


class Limit(str):  # noqa: SLOT000  # a mark that knows its path
    """The mark of a number of the configuration; formats: plain, `%` and `ms`.

    path: where the number is: `alerts.Stampede.threshold`; several with `*` are multiplied.
    """

    path: str

    def __new__(cls, path: str) -> Self:
        """Raises KeyError or TypeError if the shipped configuration has no such number."""
        number(Config(), path)
        made = super().__new__(cls, f"⟦={path}⟧")
        made.path = path
        return made

    def __format__(self, spec: str) -> str:
        return f"⟦{spec or '='}{' ' if spec == 'ms' else ''}{self.path}⟧"


def threshold(alert: str) -> Limit:
    """From where on `alert` (without prefix) fires."""
    return Limit(f"alerts.{alert}.threshold")


def floor(alert: str) -> Limit:
    """The rate below which `alert` says nothing."""
    return Limit(f"alerts.{alert}.floor")


def wait(alert: str) -> str:
    """How long `alert`'s condition has to hold."""
    return f"⟦=alerts.{alert}.wait⟧"


WINDOW: Final = "⟦=burns.budget_window⟧"
"""Over which an objective holds."""
PAGE: Final = Limit("burns.page.0.factor")
"""Times the budget's even spending from which on it pages."""
PAGE_SLOW: Final = Limit("burns.page.1.factor")
PAGE_LONG: Final = "⟦=burns.page.0.long⟧"
PAGE_SLOW_LONG: Final = "⟦=burns.page.1.long⟧"


def budget(objective: str) -> Limit:
    """The share that an objective allows to be bad."""
    return Limit(f"objectives.{objective}.budget")


def paging(objective: str) -> Limit:
    """The share of bad events that pages."""
    return Limit(f"burns.page.0.factor*objectives.{objective}.budget")


def within(objective: str) -> Limit:
    """Seconds within which an objective wants an answer."""
    return Limit(f"objectives.{objective}.within")


def target(objective: str) -> Limit:
    """The share that an objective wants to be good."""
    return Limit(f"objectives.{objective}.target")
