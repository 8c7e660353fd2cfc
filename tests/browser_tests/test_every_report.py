"""Reports of all kinds in a real browser: nothing is cut off on a phone or a desk, and links arrive."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from results.report.files import write_report
from results.store.local_store import LocalStore
from tests.browser_tests.conftest import DESK, PHONE, TABLET, Opener
from tests.browser_tests.measuring import layout
from tests.conftest import ROOT
from tests.results_tests.report_samples import SWEEP, write_evil_sweep
from tests.results_tests.searched_stores import SWEEP as SEARCH
from tests.results_tests.searched_stores import write_search


@pytest.fixture(scope="module", params=["evil", "tuned", "quickstart"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, open_page: Opener) -> Page:
    """The HTML report of a sweep, opened."""
    folder = tmp_path_factory.mktemp("report")
    name: str = request.param
    writers = {SWEEP: write_evil_sweep, SEARCH: write_search}
    store = writers[name](folder) if name in writers else LocalStore(ROOT / "results" / "examples")
    return open_page(write_report(store, name, folder)[0])


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_nothing_is_cut_off_and_links_arrive(page: Page, width: int) -> None:
    found = layout(page, width)
    assert found.scroll_width <= width
    assert (found.too_wide, found.cut_off) == ([], [])
    assert (found.lost_links, found.num_links > 0) == ([], True)
    assert found.num_figures >= 3


def test_figures_follow_the_theme(page: Page) -> None:
    colors = """() => [getComputedStyle(document.body).backgroundColor, ...["patch_1", "text_1"].map(
      id => getComputedStyle(document.querySelector(`figure [id$="-${id}"] > *`)).fill)]"""
    light = page.evaluate(colors)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(colors)
    page.emulate_media(color_scheme="light")
    assert light[0] == light[1] == "rgb(255, 255, 255)", "the figure's background is the page's"
    assert dark[0] == dark[1] != light[0]
    assert light[2] != dark[2]


def test_on_a_phone_wide_tables_scroll_in_their_own_box(page: Page) -> None:
    assert layout(page, PHONE).wide_tables >= 1


def test_a_page_that_is_too_wide_would_be_noticed(open_page: Opener, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        '<!DOCTYPE html><a href="#gone">x</a><div style="width: 500px">wide</div>'
        '<p style="width: 100px; overflow: hidden; white-space: nowrap">a text that has no room in so little</p>'
    )
    found = layout(open_page(path), PHONE)
    assert (found.scroll_width, found.lost_links) == (500 + 8, ["gone"])
    assert (found.too_wide, len(found.cut_off)) == (["div. wide"], 1)


def test_what_no_page_may_do_would_be_noticed(open_page: Opener, faults: list[str], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text('<!DOCTYPE html><img src="http://127.0.0.1:9/x.png"><script>alert("hello"); undefined.x</script>')
    open_page(path).title()
    found, faults[:] = "\n".join(faults), []
    for kind in ("dialog: hello", "error: ", "console: ", "request: http://127.0.0.1:9/x.png"):
        assert kind in found
