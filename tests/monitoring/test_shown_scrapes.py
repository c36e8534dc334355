"""Scrape configurations that pages show are of jobs that the shipped rules select."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from routecache_exporters.pack.config import Config
from tests.pages_code import ROOT, blocks

# Prometheus scraping another one's recorded series.
NO_ROUTERS = {"federate"}


def shown() -> list[Any]:
    """Each page, its global interval if it shows one, and a job."""
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for block in (*blocks(page, "yaml"), *blocks(page, "yaml prometheus")):
            config = yaml.safe_load(block.text)
            if not isinstance(config, dict):
                continue
            shared = config.get("global", {}).get("scrape_interval")
            found += [
                pytest.param(shared, job, id=f"{block}:{job['job_name']}")
                for job in config.get("scrape_configs", ())
                if job["job_name"] not in NO_ROUTERS
            ]
    return found


JOBS = shown()


@pytest.mark.parametrize(("shared", "job"), JOBS)
def test_a_shown_job_is_one_of_the_routers_and_scraped_as_the_rules_want(
    shared: str | None, job: dict[str, Any]
) -> None:
    assert job["job_name"] == Config().jobs.routers
    assert (job.get("scrape_interval") or shared) == "15s"


def test_jobs_are_found_on_every_page_that_shows_how_to_scrape() -> None:
    pages = {Path(str(job.id).partition(":")[0]).name for job in JOBS}
    assert pages == {"mounting.md", "scale.md", "web.md"}
