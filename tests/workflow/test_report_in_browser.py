"""The report of a real run in a real browser, without a network: what a reader sees, clicks and hears."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e .[test])")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")

PHONE, DESKTOP = 390, 1280
WIDTHS = [PHONE, DESKTOP]
# As root Chromium has no sandbox; the rest keeps it from looking for its maker's hosts.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
SUMMARY = "#simulation-probes_summary-csv"


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(browser, finished) -> Iterator[dict[int, sync_api.Page]]:
    """The page at each width, with what the browser said and asked for while it opened it."""
    address = (finished / "results/tiny/report.html").as_uri()
    opened = {}
    for width in WIDTHS:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message, page=page: page.said.append(message.text))
        page.on("pageerror", lambda error, page=page: page.said.append(str(error)))
        page.on("request", lambda request, page=page: page.asked.append(request.url))
        page.goto(address)
        page.wait_for_load_state("networkidle")
        opened[width] = page
    yield opened


@pytest.fixture(params=WIDTHS, ids=["phone", "desktop"])
def page(request, pages) -> sync_api.Page:
    return pages[request.param]


def column(page: sync_api.Page, name: str, table: str = SUMMARY) -> list[str]:
    """The cells of a column of a table, from top to bottom."""
    place = page.locator(f"{table} thead th").all_inner_texts()
    at = next(k for k, text in enumerate(place) if text.split()[0] == name)
    return page.locator(f"{table} tbody tr > :nth-child({at + 1})").all_inner_texts()


def header(page: sync_api.Page, name: str, table: str = SUMMARY) -> sync_api.Locator:
    return page.locator(f"{table} thead th").filter(has=page.get_by_role("button", name=name, exact=True))


def test_the_browser_has_nothing_to_complain_of_and_asks_for_nothing(page):
    assert page.said == []
    outside = [address for address in page.asked if not address.startswith("data:")]
    assert outside == [page.url]


def test_every_output_of_the_run_is_there(page, finished):
    lines = finished.run(options=["--dry-run", "--forceall"]).ok().output.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("rule everything"))
    wanted = [path.strip() for path in lines[at + 1].partition("input:")[2].split(", ")]
    ids = [path.removeprefix("results/tiny/").replace("/", "-").replace(".", "-") for path in wanted]
    assert len(ids) > 10
    assert {article.get_attribute("id") for article in page.locator("article").all()} == set(ids) - {"report-html"}
    for article in page.locator("article").all():
        assert len(article.locator(".caption").inner_text().split()) >= 8
        assert article.locator("table, img").first.is_visible()


def test_every_figure_is_visible_and_described(page):
    images = page.locator("img").all()
    assert len(images) == 8
    for image in images:
        assert image.evaluate("one => one.complete && one.naturalWidth") > 0
        box = image.bounding_box()
        assert box["width"] >= 200 and box["height"] >= 60
        assert len(image.get_attribute("alt").split()) >= 5


def test_the_page_does_not_scroll_sideways_and_wide_tables_do(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    inside = page.evaluate(
        """() => [...document.querySelectorAll("table, svg, img")].every(one => {
          const box = one.closest(".scroll").getBoundingClientRect();
          return box.left >= 0 && box.right <= window.innerWidth;
        })"""
    )
    assert inside
    wide = page.locator(f"{SUMMARY} .scroll").evaluate("one => [one.scrollWidth > one.clientWidth, one.tabIndex]")
    assert wide[1] == 0 and (wide[0] or page.viewport_size["width"] == DESKTOP)


def test_text_is_large_enough_to_read(page):
    smallest = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll("p, td, th, dd, dt, li, a, button, h4, text")]
          .filter(one => one.getClientRects().length && !one.closest(".hidden"))
          .map(one => parseFloat(getComputedStyle(one).fontSize)))"""
    )
    assert smallest >= 12


def test_tables_sort_by_click(page):
    written = column(page, "mean")
    for state, expected in (
        ("ascending", sorted(written, key=float)),
        ("descending", sorted(written, key=float, reverse=True)),
        ("none", written),
    ):
        header(page, "mean").get_by_role("button").click()
        assert column(page, "mean") == expected
        assert header(page, "mean").get_attribute("aria-sort") == state
    assert written != sorted(written, key=float)


def test_the_data_sets_sort_by_their_size(page):
    """Which is written with commas."""
    written = column(page, "pairs", "#data")
    for _ in ("ascending", "descending"):
        header(page, "pairs", "#data").get_by_role("button").click()
    size = [int(text.replace(",", "")) for text in written]
    assert column(page, "pairs", "#data") == [f"{one:,}" for one in sorted(size, reverse=True)]
    assert max(size) >= 1000 and size != sorted(size, reverse=True)


def test_tables_sort_by_keyboard_and_say_so(page):
    button = header(page, "method_label").get_by_role("button")
    written = column(page, "method_label")
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, "method_label") == sorted(written, key=str.lower)
    assert page.get_by_role("status").inner_text() == "Sorted by method_label, ascending"
    page.keyboard.press("Space")
    assert column(page, "method_label") == sorted(written, key=str.lower, reverse=True)
    # Sorting by another column ends it.
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert header(page, "method_label").get_attribute("aria-sort") == "none"
    states = [one.get_attribute("aria-sort") for one in page.locator(f"{SUMMARY} thead th").all()]
    assert states.count("ascending") == 1


def test_empty_cells_stay_last(page):
    header(page, "beta").get_by_role("button").click()
    rising = column(page, "beta")
    header(page, "beta").get_by_role("button").click()
    falling = column(page, "beta")
    filled = sum(map(bool, rising))
    assert 0 < filled < len(rising)
    assert all(rising[:filled]) and all(falling[:filled]) and rising[:filled] == falling[:filled][::-1]


def test_the_first_tab_skips_to_the_content(pages):
    page = pages[DESKTOP]
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_links_lead_to_what_is_there(page, finished):
    for link in page.locator("a").all():
        target = link.get_attribute("href")
        if target.startswith("#"):
            assert page.locator(target).count() == 1, target
        else:
            assert (finished / "results/tiny" / target).is_file(), target


def test_axe_finds_nothing(page):
    """Names of regions and buttons, heads of tables, alternative texts, contrast, order of headings."""
    # Rows of a table are alike, and it looks at every cell for long.
    page.evaluate("document.querySelectorAll('tbody tr:nth-child(n + 4)').forEach(row => row.remove())")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
