"""From a snapshot of this process, or of all workers, to each metric's values by label values."""

from collections.abc import Callable

from routecache.registry import ProcessSnapshot
from routecache_exporters.multiprocess import WorkersReader, WorkersSnapshot
from routecache_exporters.rows import cache_rows, endpoint_rows, provider_rows
from routecache_exporters.scrape import Columns, Scrape


def gather(
    scrape: Scrape,
    snapshot: Callable[[], ProcessSnapshot],
    build: tuple[str, str, str],
    workers: WorkersReader | None = None,
) -> Columns:
    """Take one snapshot and add all of it to `scrape`. Never raises: see `Scrape`.

    build: the labels of `build_info`.
    workers: where other processes count whose numbers belong to ours; None for this one's alone.
    """
    mine = ProcessSnapshot((), ())
    with scrape.part("snapshot"):
        mine = snapshot()
    together = _together(scrape, mine, workers)
    with scrape.part("caches"):
        for name, group in scrape.group("cache", together.caches, lambda found: found.name):
            scrape.add("caches", (row for each in group for row in cache_rows(each, name)))
        scrape.add("caches", provider_rows(together.providers))
        for error in together.broken.values():
            scrape.failures["caches"] = error
    with scrape.part("endpoints"):
        for alias, same in scrape.group("l2", together.endpoints, lambda found: found.alias):
            scrape.add("endpoints", (row for each in same for row in endpoint_rows(each, alias)))
    return scrape.finish(build)


def _together(
    scrape: Scrape, mine: ProcessSnapshot, workers: WorkersReader | None
) -> ProcessSnapshot:
    if workers is None or not workers.in_use:
        return mine
    found = WorkersSnapshot((), ())  # no sums at all, where they would be wrong
    with scrape.part("workers"):
        found = workers.read(mine)
    if found.problem:
        scrape.failures["workers"] = found.problem
    return found
