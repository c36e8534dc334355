"""From a snapshot of this process, or of all workers, to each metric's values by label values."""

from collections.abc import Callable

from routecache.registry import ProcessSnapshot
from routecache_exporters.multiprocess import Source, Workers, WorkersReader, alone
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
    sources = _sources(scrape, mine, workers)
    with scrape.part("caches"):
        caches = ((cache, s.select) for s in sources for cache in s.snapshot.caches)
        for name, group in scrape.group("cache", caches, lambda found: found[0].name):
            rows = (row for c, select in group for row in select(cache_rows(c, name)))
            scrape.add("caches", rows)
        for s in sources:
            scrape.add("caches", s.select(provider_rows(s.snapshot.providers)))
            for error in s.snapshot.broken.values():
                scrape.failures["caches"] = error
    with scrape.part("endpoints"):
        endpoints = ((l2, s.select) for s in sources for l2 in s.snapshot.endpoints)
        for alias, same in scrape.group("l2", endpoints, lambda found: found[0].alias):
            rows = (row for l2, select in same for row in select(endpoint_rows(l2, alias)))
            scrape.add("endpoints", rows)
    return scrape.finish(build)


def _sources(
    scrape: Scrape, mine: ProcessSnapshot, workers: WorkersReader | None
) -> tuple[Source, ...]:
    if workers is None or not workers.in_use:
        return (Source(mine, alone),)
    found = Workers((), "")  # no sums at all, where they would be wrong
    with scrape.part("workers"):
        found = workers.read(mine)
    if found.problem:
        scrape.failures["workers"] = found.problem
    return found.sources
