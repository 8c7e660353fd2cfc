"""One browser for all tests of pages, which skip, and say so, where none is found."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

from benchmarks.browser import MISSING, browser_path, running_browser
from benchmarks.page_scale import SWEEP, tables
from results.report.content import make_report
from results.report.html import render_html
from results.report.page_data import page_data, page_json
from tests.browser_tests.explorer import NUM_EPOCHS, NUM_TRIALS, Data, status

DESK, TABLET, PHONE = 1440, 768, 390
"""Widths in CSS pixels."""
Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's browser; of the playwright package only the driver is used."""
    if browser_path() is None:
        pytest.skip(MISSING)
    with running_browser() as started:
        yield started


@pytest.fixture(scope="session")
def faults() -> list[str]:
    """Return the list to which all tabs add what no page may do; empty at the end of each test."""
    return []


@pytest.fixture(autouse=True)
def no_faults(browser: Browser, faults: list[str]) -> Iterator[None]:
    """Fail where a tab logged an error, opened a dialog, or asked for what does not come from its file or server."""
    yield
    for page in (page for context in browser.contexts for page in context.pages):
        page.title()  # faults arrive before the answer
    found, faults[:] = list(faults), []
    assert not found


@pytest.fixture(scope="module")
def open_page(browser: Browser, faults: list[str]) -> Iterator[Opener]:
    """Return a function that opens a file or a URL in a tab of its own, until the end of the module."""
    contexts = []

    def dismissed(dialog: Dialog) -> None:
        faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def opened(
        address: Path | str, *, width: int = DESK, scheme: str = "light", scripts: bool = True, height: int = 900
    ) -> Page:
        url = address.as_uri() if isinstance(address, Path) else address
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: faults.extend(_complaint(message)))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", dismissed)
        page.on("request", lambda request: faults.extend(_foreign(request.url, url)))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def data() -> Data:
    return page_data(*tables(NUM_TRIALS, NUM_EPOCHS))


@pytest.fixture(scope="module")
def report(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a search over six parameters, without its static figures."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(make_report(*tables(NUM_TRIALS, NUM_EPOCHS), SWEEP), {}, page_json(data)))
    return path


@pytest.fixture(scope="module")
def tab(open_page: Opener, report: Path) -> Page:
    return open_page(report)


@pytest.fixture
def page(tab: Page, report: Path) -> Page:
    """The page as it is after loading."""
    tab.set_viewport_size({"width": DESK, "height": 900})
    tab.emulate_media(color_scheme="light")
    tab.goto(report.as_uri())
    assert status(tab) == f"{NUM_TRIALS} trials"
    return tab


def _complaint(message: ConsoleMessage) -> list[str]:
    return [f"console: {message.text}"] if message.type in ("error", "warning") else []


def _foreign(asked: str, url: str) -> list[str]:
    """Return a fault if a request stays neither with the file of this URL nor with its server."""
    server = url if url.startswith("file:") else "/".join(url.split("/")[:3]) + "/"
    is_own = asked.startswith(("data:", "blob:", server))
    return [] if is_own else [f"request: {asked}"]
