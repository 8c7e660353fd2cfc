"""The figures of a sweep as SVG elements for one HTML page."""

import contextlib
import re

from matplotlib.figure import Figure

from results.figures import ALL, SEARCH_FIGURE_NAMES
from results.figures.figure_data import Results
from results.figures.gallery import pages
from results.figures.style import image, literal_text
from results.report.content import Report
from trainable.errors import UserError

_REFERENCES = re.compile(r'(\bid="|href="#|url\(#)')
_LEFT_OUT = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style\b.*?</style>", re.DOTALL
)
_SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([0-9.]+)pt"')
_OPENING = re.compile(r"<svg\b[^>]*>")
THEMED = {
    "#ffffff": "page",
    "#000000": "text",
    "#555555": "quiet",
    **dict.fromkeys(("#b0b0b0", "#b5b5b5", "#bbbbbb", "#cccccc"), "faint"),
}
"""Colours that follow the page's theme, and the CSS variable that each becomes."""
_COLOR = re.compile(rf"\b((?:fill|stroke)(?:: |=\"))({'|'.join(THEMED)})\b")


def inline_figures(report: Report) -> tuple[dict[str, str], dict[str, str]]:
    """Return file stem -> SVG element for all figures that the sweep can fill, and name -> why one is left out."""
    results = Results(
        report.sweep,
        report.cells,
        epochs=lambda: report.epochs,
        search=report.search,
        importances=report.importances,
    )
    figures: dict[str, str] = {}
    with contextlib.suppress(UserError):  # there is none
        figures.update((stem, inline_svg(stem, figure)) for stem, figure in pages(ALL, results))
    ordered = sorted(figures, key=lambda stem: stem not in SEARCH_FIGURE_NAMES)  # figures of searches first
    return {stem: figures[stem] for stem in ordered}, results.left_out


@literal_text()
def inline_svg(stem: str, figure: Figure) -> str:
    """Return an SVG element whose ids begin with `stem`, so that those of two figures do not clash."""
    return isolated(stem, image(figure, "svg").decode())


def isolated(stem: str, svg: str) -> str:
    """Return the SVG element without its size and without anything that would affect the page around it.

    Black, white and grey follow the page's theme.
    """
    text = _REFERENCES.sub(rf"\g<1>{stem}-", _LEFT_OUT.sub("", svg)).strip()
    text = _COLOR.sub(lambda found: f"{found[1]}var(--{THEMED[found[2]]}, {found[2]})", text)
    size = _SIZE.search(text)
    width = f"--width: {float(size[1]) / 72:.2f}in; " if size else ""
    box = re.search(r'viewBox="[^"]*"', text)
    opening = (
        f'<svg role="img" aria-label="{stem.replace("_", " ")}" {box[0] if box else ""} '
        f'style="{width}fill: var(--text, #000000)" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return _OPENING.sub(lambda _: opening, text, count=1)
