"""The HTML of the pages, and the files that they load. Whatever comes from a store is escaped."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from results.report.page_data import SCRIPTS
from sweep.status.listing import RESULTS_ONLY
from trainable.wording import command, counted, printable

HERE = Path(__file__).resolve().parent
REPORT = HERE.parents[1] / "results" / "report"
JAVASCRIPT, CSS = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
PARTS = {
    "page.css": (CSS, [REPORT / "report.css", REPORT / "page.css", HERE / "serve.css"]),
    "explorer.js": (JAVASCRIPT, [REPORT / name for name in SCRIPTS]),
    "live.js": (JAVASCRIPT, [HERE / "live.js"]),
}
"""File that pages load -> its type, and what it is put together from."""


def _files() -> dict[str, tuple[bytes, str]]:
    contents = {name: b"\n".join(path.read_bytes() for path in paths) for name, (_, paths) in PARTS.items()}
    return {f"{zlib.crc32(content):08x}-{name}": (content, PARTS[name][0]) for name, content in contents.items()}


STATIC = _files()
"""Name of a file, which changes with its content -> the content and its type."""
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(
    counted=counted,
    run=command("run"),
    files={name.partition("-")[2]: f"/static/{name}" for name in STATIC},
)
Facts = Mapping[str, Any]
"""What `SweepWatch.facts` returns."""


def list_html(stores: Sequence[Facts]) -> str:
    """Return the list of the sweeps of all stores, the part of its page that changes."""
    return _ENVIRONMENT.get_template("list.html.jinja").render(stores=stores)


def facts_html(facts: Facts) -> str:
    """Return what is said of a sweep, the part of its page that is not made by scripts."""
    return _ENVIRONMENT.get_template("facts.html.jinja").render(facts=facts)


def list_page(stores: Sequence[Facts]) -> bytes:
    """Return the page with the list of all sweeps."""
    return _page("sweeps", list_html(stores))


def sweep_page(facts: Facts, location: str) -> bytes:
    """Return the page of one sweep."""
    return _page(str(facts["sweep"]), facts_html(facts), location, has_logs=facts["state"] != RESULTS_ONLY)


def _page(title: str, live: str, location: str = "", *, has_logs: bool = False) -> bytes:
    template = _ENVIRONMENT.get_template("page.html.jinja")
    text = template.render(title=title, live=live, location=printable(location), has_logs=has_logs)
    return text.encode(errors="replace")
