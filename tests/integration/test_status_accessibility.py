"""The status page for everybody: by keyboard, by ear, in both colour schemes, on a phone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.browser import Browser, Page
from tests.helpers import eventually
from tests.pages import FixedSite, fixed_site, quiet, serving, troubled

pytestmark = pytest.mark.needs("chromium")

INTERACTIVE = {"button", "link", "textbox", "combobox", "checkbox", "slider"}
# The contrast of every text, by WCAG 2.2: the ratio of relative luminances of its colour and of
# the nearest background behind it, opacity included.
CONTRAST = """(() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = rgb => { const [r, g, b] = rgb.map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = [], seen = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (seen.nextNode()) {
    const node = seen.currentNode, element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({visibilityProperty: true})
      || element.closest("script, style, template")) continue;
    let below = null, opacity = 1;
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e), colour = parse(style.backgroundColor);
      opacity *= Number(style.opacity);
      if (!below && colour[3] === 1) below = colour.slice(0, 3);
    }
    const colour = parse(getComputedStyle(element).color);
    colour[3] *= opacity;
    const pair = [light(over(colour, below)), light(below)].sort((a, b) => b - a);
    found.push([node.data.trim(), (pair[0] + 0.05) / (pair[1] + 0.05)]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of this file."""
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of its own."""
    tab = browser.page()
    yield tab
    tab.close()


@contextmanager
def shown(page: Page, site: FixedSite) -> Iterator[None]:
    """`site` in the browser, live."""
    with serving(site, page) as url:
        page.open(url)
        eventually(lambda: page.text("#live") == "Live, each second")
        eventually(lambda: page.evaluate("document.querySelector('tbody .spark[hidden]') === null"))
        yield


def role(node: dict[str, Any]) -> str:
    return str(node.get("role", {}).get("value", ""))


def name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", ""))


def having(nodes: list[dict[str, Any]], *roles: str) -> list[dict[str, Any]]:
    return [node for node in nodes if role(node) in roles]


@pytest.mark.parametrize("width", [1440, 360])
def test_assistive_technology_finds_its_way(page: Page, width: int) -> None:
    """Landmarks, headings in order, named controls, tables with a name, column and row headers
    (on a phone too, where rows look like cards), and a text for every curve."""
    page.emulate(width=width)
    with shown(page, fixed_site(troubled())):
        nodes = page.accessibility_tree()
    for landmark in ("banner", "main", "navigation", "contentinfo"):
        assert len(having(nodes, landmark)) == 1, landmark
    controls = [node for node in nodes if role(node) in INTERACTIVE]
    assert len(controls) == 6
    assert [node for node in controls if not name(node).strip()] == []
    levels = [
        value["value"]["value"]
        for node in having(nodes, "heading")
        for value in node["properties"]
        if value["name"] == "level"
    ]
    assert levels == [1, 2, 2, 2, 2]
    tables = having(nodes, "table")
    assert len(tables) == 3
    assert all(len(name(table)) > 30 for table in tables)
    heads = [name(node) for node in having(nodes, "columnheader")]
    assert len(heads) == 7 + 7 + 8
    assert all(heads)
    rows = [name(node) for node in having(nodes, "rowheader")]
    assert rows == ["provider", "tool", "redis", "redis-2", "provider", "tool"]
    curves = [name(node) for node in having(nodes, "image", "img")]
    assert len(curves) == 2 * 2 + 2
    assert all("no history yet" in curve or "last five minutes" in curve for curve in curves)


def test_states_are_announced_and_numbers_are_not(page: Page) -> None:
    """The one live region is the verdict, and it is polite."""
    with shown(page, fixed_site(troubled())):
        nodes = page.accessibility_tree()
        regions = page.evaluate("document.querySelectorAll('[aria-live], [role=status]').length")
        spoken = page.text("[role=status]")
    (status,) = having(nodes, "status")
    live = {value["name"]: value["value"]["value"] for value in status["properties"]}
    assert (live["live"], live["atomic"], regions) == ("polite", True, 1)
    assert spoken.startswith("L2 is partly out")
    assert "1,2" not in spoken


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("look", ["well", "out", "silent"])
def test_every_text_has_contrast(page: Page, scheme: str, look: str) -> None:
    """At least 4.5 to 1 in both colour schemes, whatever state is shown."""
    page.emulate(width=1440, scheme=scheme)
    site = fixed_site(quiet() if look == "well" else troubled())
    with shown(page, site):
        if look == "silent":
            site.metrics = None
            eventually(lambda: page.text("#summary") == "No answer")
        found = page.evaluate(CONTRAST)
    assert len(found) > 40
    assert [each for each in found if each[1] < 4.5] == []
    backgrounds = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert backgrounds == (scheme == "dark")


def test_the_keyboard_reaches_everything_visibly(page: Page) -> None:
    """Tab goes from the skip link over the button to the links, each with an outline, and the skip
    link leads to the numbers."""
    focused = """(() => { const e = document.activeElement, box = e.getBoundingClientRect();
        return [e.textContent, getComputedStyle(e).outlineStyle, box.top >= 0]; })()"""
    page.emulate(width=1440)
    with shown(page, fixed_site(troubled())):
        seen = []
        for _ in range(6):
            page.press("Tab", 9)
            seen.append(page.evaluate(focused))
        assert [text for text, _, _ in seen] == [
            "Skip to the numbers",
            "Pause updates",
            "Metrics for Prometheus",
            "These numbers as JSON",
            "Healthy",
            "Ready",
        ]
        assert {(outline, visible) for _, outline, visible in seen} == {("solid", True)}
        page.evaluate("document.querySelector('.skip').focus()")
        page.press("Enter", 13)
        eventually(lambda: page.evaluate("document.activeElement.id") == "main")


@pytest.mark.parametrize("width", [360, 700, 1280, 1281, 1440])
def test_nothing_is_cut_off(page: Page, width: int) -> None:
    """No window scrolls sideways, and no cell reaches into the next."""
    page.emulate(width=width)
    with shown(page, fixed_site(troubled())):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        overlaps = """[...document.querySelectorAll("tbody tr")].flatMap(row => {
          const boxes = [...row.querySelectorAll("[data-v]")].map(e => e.getBoundingClientRect());
          return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.left < b.right - 1
            && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
        }).length"""
        assert page.evaluate(overlaps) == 0


def test_meaning_never_hangs_on_colour_or_motion(page: Page) -> None:
    """Each state has a word and a mark of its own, and nothing moves for who asked for calm."""
    page.emulate(width=1440)
    mark = "getComputedStyle(%s, '::before').content"
    with shown(page, fixed_site(troubled())):
        cells = {
            state: page.evaluate(mark % f"document.querySelector('td [data-state={state}] span')")
            for state in ("ok", "warning", "critical")
            if page.evaluate(f"document.querySelector('td [data-state={state}]') !== null")
        }
        assert len(set(cells.values())) == len(cells) >= 2
        moving = page.evaluate("""[...document.querySelectorAll('*')].filter(e => {
          const style = getComputedStyle(e);
          return style.animationName !== 'none' || style.transitionDuration !== '0s'; }).length""")
        assert moving == 0
