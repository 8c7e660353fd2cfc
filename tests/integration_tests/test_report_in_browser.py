"""The report in a real browser: no sideways scrolling of the page on a phone or a desk, and links that arrive."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from results.report.files import write_report
from results.store.local_store import LocalStore
from tests.conftest import ROOT
from tests.results_tests.report_samples import SWEEP, write_evil_sweep
from tests.results_tests.searched_stores import SWEEP as SEARCH
from tests.results_tests.searched_stores import write_search

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESK = 390, 1280
"""CSS pixels."""
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --hide-scrollbars --virtual-time-budget=5000 --window-size=1400,900"
)
MEASURE = """
const frame = document.querySelector("iframe"), page = frame.contentDocument, root = page.documentElement;
const links = [...page.querySelectorAll("a[href]")];
const tables = [...page.querySelectorAll("table")];
document.title = "MEASURED" + JSON.stringify({
  width: frame.contentWindow.innerWidth,
  scroll_width: root.scrollWidth,
  lost_links: links.filter(a => !page.getElementById(decodeURIComponent(a.hash.slice(1)))).length,
  num_links: links.length,
  wide_tables: tables.filter(t => t.scrollWidth > t.parentElement.clientWidth).length,
  num_figures: [...page.querySelectorAll("figure svg")].filter(s => s.getBoundingClientRect().height > 100).length,
}) + "END";
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} on PATH: `apt-get install chromium` (Debian) brings it")
    return found


@pytest.fixture(scope="module", params=["evil", "tuned", "quickstart", "cifar10_smoke"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of an HTML report."""
    folder = tmp_path_factory.mktemp("report")
    name: str = request.param
    writers = {SWEEP: write_evil_sweep, SEARCH: write_search}
    store = writers[name](folder) if name in writers else LocalStore(ROOT / "results" / "examples")
    return write_report(store, name, folder)[0].read_text(encoding="utf-8")


def measured(browser: str, report: str, width: int, folder: Path) -> dict[str, int]:
    """What a browser makes of the page at this width: in a frame, since windows have a smallest width."""
    wrapper = folder / "wrapper.html"
    frame = f'<iframe width="{width}" height="900" style="border: 0" srcdoc="{html.escape(report)}"></iframe>'
    wrapper.write_text(f'<!DOCTYPE html>{frame}<script>addEventListener("load", () => {{{MEASURE}}})</script>')
    profile = folder / "profile"
    command = [browser, *OPTIONS.split(), f"--user-data-dir={profile}", "--dump-dom", wrapper.as_uri()]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"<title>MEASURED(.*?)END</title>", process.stdout)
    assert found, process.stderr[-2000:]
    values: dict[str, int] = json.loads(html.unescape(found[1]))
    return values


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_never_scrolls_sideways_and_its_links_arrive(
    browser: str, report: str, width: int, tmp_path: Path
) -> None:
    found = measured(browser, report, width, tmp_path)
    assert found["width"] == width
    assert found["scroll_width"] <= width
    assert (found["lost_links"], found["num_links"] > 0) == (0, True)
    assert found["num_figures"] >= 4


def test_on_a_phone_wide_tables_scroll_in_their_own_box(browser: str, report: str, tmp_path: Path) -> None:
    assert measured(browser, report, PHONE, tmp_path)["wide_tables"] >= 1


def test_a_page_that_is_too_wide_would_be_noticed(browser: str, tmp_path: Path) -> None:
    page = '<!DOCTYPE html><a href="#gone">x</a><div style="width: 500px">wide</div>'
    found = measured(browser, page, PHONE, tmp_path)
    assert (found["scroll_width"], found["lost_links"]) == (500 + 8, 1)
