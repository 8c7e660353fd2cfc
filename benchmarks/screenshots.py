"""Take the pictures of docs/images/ again: `python benchmarks/screenshots.py`, after a change of the page.

Needs playwright (tests/requirements.txt) and a Chromium on PATH.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.browser import running_browser
from results.report.files import write_report
from results.store.local_store import LocalStore

EXAMPLES = ROOT / "results" / "examples"
IMAGES = ROOT / "docs" / "images"
NUM_COLORS = 256


def opened(browser: Browser, report: Path, width: int, height: int, scheme: str = "light") -> Page:
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page.goto(f"{report.as_uri()}#explorer")
    return page


def drag(page: Page, view: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse between two points of a chart, which are given as fractions of its width and height."""
    box = page.locator(f".view.{view} .plot").bounding_box()
    if box is None:
        raise SystemExit(f"there is no {view}")
    (x, y), (to_x, to_y) = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to_x, to_y, steps=5)
    page.mouse.up()


def pictures(browser: Browser, search: Path, sweep: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the PNG of each picture."""
    yield "page", opened(browser, search, 1200, 1160).screenshot()
    page = opened(browser, sweep, 1200, 1160, "dark")
    drag(page, "scatter", (0.25, 0.3), (0.7, 0.9))
    yield "page-dark", page.screenshot()
    page = opened(browser, search, 390, 844)
    page.locator("table.explored tbody button").first.click()
    yield "page-phone", page.screenshot()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        search, sweep = (
            write_report(LocalStore(store), name, Path(folder) / name)[0]
            for store, name in ((EXAMPLES / "search_against_grid", "tpe_asha"), (EXAMPLES, "large_batch"))
        )
        for name, picture in pictures(browser, search, sweep):
            path = IMAGES / f"{name}.png"
            Image.open(io.BytesIO(picture)).convert("RGB").quantize(NUM_COLORS).save(path, optimize=True)
            print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
