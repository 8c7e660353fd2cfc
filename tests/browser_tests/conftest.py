"""One browser for all tests of pages, which skip, and say so, where none is found."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

from benchmarks.browser import MISSING, browser_path, running_browser

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


def _complaint(message: ConsoleMessage) -> list[str]:
    return [f"console: {message.text}"] if message.type in ("error", "warning") else []


def _foreign(asked: str, url: str) -> list[str]:
    """Return a fault if a request stays neither with the file of this URL nor with its server."""
    server = url if url.startswith("file:") else "/".join(url.split("/")[:3]) + "/"
    is_own = asked.startswith(("data:", "blob:", server))
    return [] if is_own else [f"request: {asked}"]
