"""Every link from one page of the repository to another leads somewhere, its anchor included."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_OTHERS = {path.name for path in ROOT.glob(".*")} | {"build", "dist", "vendor"}
_CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """All but those of environments and caches, whose folders begin with a dot."""
    found = ROOT.rglob("*.md")
    return [page for page in found if not _OTHERS & set(page.relative_to(ROOT).parts[:1])]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", _CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in plain}


def test_every_link_leads_to_a_file_and_to_a_heading_of_it() -> None:
    broken = []
    found = pages()
    for page in found:
        for link in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", page.read_text("utf-8"))):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            leads = target.exists() and (not anchor or anchor in anchors(target))
            if not leads:
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert len(found) > 50
    assert broken == []


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    unlinked = [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in readme]
    assert unlinked == ["scale-families.md"]  # made for, and linked by, scale.md
