"""The asyncio driver of a warm-up: `_sync.py` with `async` and `await`; a test holds the two."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from routecache.errors import RemoteError
from routecache.tiered._async import AsyncTiers
from routecache.tiered.state import LEASE_MS
from routecache.typing import AsyncRemote
from routecache.warming.crews import Tasks
from routecache.warming.fleet import Fleet
from routecache.warming.options import Terms, WarmResult
from routecache.warming.plan import Plan
from routecache.warming.spacing import Spacing

POLL = 0.1
"""Seconds between two looks of those who follow."""
ECHO = 0.25
"""Seconds for which the echo of own writes is waited for at most."""
LISTENER = 1.0
"""Seconds from the start for which a listener that is about to connect is waited for at most."""
GLANCE = 0.01
"""Seconds between two looks whether it has."""
OTHERS = 0.02
"""Seconds that news of another process's writes may be behind the reply that shows them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cache that is to be warm."""

    plan: Plan
    tiers: AsyncTiers
    remote: AsyncRemote | None
    fleet: Fleet


class AsyncWarmUp:
    """Warms the caches of `jobs` side by side, within one deadline and one rate."""

    def __init__(self, jobs: Sequence[Job], terms: Terms, crew: Tasks) -> None:
        self._jobs = jobs
        self._terms = terms
        self._crew = crew
        self._spacing = Spacing(terms.rate, crew.timer)
        self._heard_by = crew.timer() + LISTENER

    async def results(self) -> list[WarmResult]:
        """Warm up; returns at the deadline with what there is, whatever hangs."""
        try:
            await self._crew.within(self._run)
        finally:
            results = [job.plan.end() for job in self._jobs]
        return results

    async def _run(self) -> None:
        done = False
        try:
            for job in self._jobs:
                await self._prepare(job)
            await self._load_all()
            while self._followers() and await self._crew.pause(POLL):
                for job in self._followers():
                    await self._fill(job)
                    await self._ask(job)
                await self._load_all()
            for job in self._jobs:
                await self._keep(job)
            done = not self._crew.over
        finally:
            for job in self._jobs:
                await self._part(job, done=done)

    def _followers(self) -> list[Job]:
        return [job for job in self._jobs if job.fleet.role == "follows"]

    async def _prepare(self, job: Job) -> None:
        """Find out what is to be warm, what L2 holds of it and who loads the rest."""
        plan, remote = job.plan, job.remote
        await self._crew.read(plan)
        if remote is not None and plan.room > 0:
            deadline = remote.deadline(self._crew.left())
            found = await remote.hottest(plan.pattern, plan.room, deadline)
            if not plan.core.failed("scan", (found,)) and not isinstance(found, RemoteError):
                plan.found(found)
        plan.gathered = not self._crew.over
        await self._fill(job)
        if plan.to_load():
            await self._ask(job)

    async def _fill(self, job: Job, *, again: bool = False) -> None:
        """Take what L2 holds of the plan's keys into L1."""
        for batch in job.plan.batches(again=again):
            if not await self._crew.pause(0):
                return
            job.plan.filled(batch, await job.tiers.fill(batch))

    async def _ask(self, job: Job) -> None:
        """Ask who of the fleet loads."""
        fleet, remote = job.fleet, job.remote
        if remote is None or not fleet.asks:
            return
        deadline = remote.deadline(job.plan.core.policy.l2_timeout)
        replies = await remote.lease_many((fleet.wanted(),), LEASE_MS, deadline)
        job.plan.core.failed("get", replies)
        if fleet.told(replies[0]):
            await self._renew(job, 0)
        if fleet.role == "done":
            await self._fill(job)  # what was brought after the last look

    async def _renew(self, job: Job, life_ms: int) -> None:
        remote = job.remote
        if remote is not None:
            deadline = remote.deadline(job.plan.core.policy.l2_timeout)
            stood = await remote.renew_leases((job.fleet.lease,), life_ms, deadline)
            job.plan.core.failed("set", stood)
            if life_ms:
                job.fleet.renewed(stood[0])

    async def _part(self, job: Job, *, done: bool) -> None:
        """Leave the fleet: with the mark if all is done, else for another to go on."""
        fleet, remote = job.fleet, job.remote
        if remote is None or fleet.role != "leads":
            return
        if done:
            deadline = remote.deadline(job.plan.core.policy.l2_timeout)
            job.plan.core.failed("set", await remote.store_many((fleet.mark(),), deadline))
        else:
            await self._renew(job, 0)

    # Loads

    async def _load_all(self) -> None:
        """Load what is to be loaded by this process, the hottest of each cache first."""
        lists = [
            [(job, key) for key in job.plan.to_load()] if job.fleet.may_load else []
            for job in self._jobs
        ]
        loads = [load for rank in zip_longest(*lists) for load in rank if load is not None]
        # Who has lost the lease meanwhile spends no time on what another process loads now.
        todo = (load for load in loads if load[0].fleet.may_load)
        if loads:
            await self._crew.work(min(self._terms.concurrency, len(loads)), self._loads, todo)

    async def _loads(self, job: Job, key: str) -> bool:
        """Load one key when its time has come; False if there is no time left."""
        if not await self._crew.pause(0 if job.plan.is_given(key) else self._spacing.take()):
            return False
        if job.fleet.due():
            await self._renew(job, LEASE_MS)
        flight = job.plan.take_off(key) if job.fleet.may_load else None
        if flight is None:
            return not job.plan.core.closed
        outcome = None
        try:
            plan = job.plan
            outcome = await job.tiers.warm(flight, plan.load_of(key), plan.ttl, plan.tags)
        finally:
            job.plan.landed(flight, outcome)
        return True

    async def _keep(self, job: Job) -> None:
        """Read again what L1 has lost to echoes of writes, and to its listener: a start is early
        enough that the listener connects meanwhile, and then L1 is emptied."""
        core = job.plan.core
        while core.deaf and self._crew.timer() < self._heard_by and await self._crew.pause(GLANCE):
            pass
        if job.remote is not None:
            await self._crew.await_all(job.plan.echoes(), ECHO)
            if job.fleet.role == "done":
                await self._crew.pause(OTHERS)
            await self._fill(job, again=True)


async def warm_up(
    wanted: Sequence[tuple[Plan, AsyncTiers, AsyncRemote | None]], terms: Terms
) -> list[WarmResult]:
    """Warm several caches within one deadline and one rate, in this order."""
    crew = Tasks(terms.deadline)
    jobs = [
        Job(plan, tiers, remote, Fleet(plan.core, terms.fleet, crew.timer))
        for plan, tiers, remote in wanted
    ]
    return await AsyncWarmUp(jobs, terms, crew).results()
