"""The common style of all figures: readable in print, in grey, and with colour blindness."""

import contextlib
import io
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox
from matplotlib.typing import ColorType

from results.figures.points import Source
from trainable.wording import printable, shortened

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#3D9BD1", "#C98500", "#000000", "#7F7F7F")
"""Okabe & Ito (2008), without yellow and with grey; sky blue and orange are darkened: each colour has a contrast of
at least 3:1 with white and, black aside, which follows the page's theme, with the page of a dark report."""
GRADIENT = LinearSegmentedColormap.from_list("batchscape", ("#2F63B8", "#B0508F", "#D07C00"))
"""Colours of lines by a value: as far from white as from a dark page, and brighter with the value, also in grey."""
INKS = BLACK, WHITE = "#010101", "#FEFEFE"
"""Colours of text on a coloured area: a hair's breadth beside pure black and white, which follow the page's theme."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "h", ">", "d")
HATCHES = ("///", "\\\\\\", "xx", "---", "|||", "++", "//||", "\\\\--", "xx--", "++xx", "..", "oo")
"""More than there are colours, like the markers: series with the same colour differ in marker and hatch."""
LINE_STYLES: dict[Source, Any] = {Source.PUBLISHED: (0, (4, 2)), Source.OURS: "solid"}
SWEEP_STYLES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.2)), "dashdot")
"""Line styles of the sweeps that are drawn together."""
SERIES_STYLES: tuple[Any, ...] = ("solid", (0, (7, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (2, 1)))
"""Line styles of series that have one colour: the first for as many as there are colours, and so on."""
FORMATS = ("svg", "png")
DPI = 160
LOG_FROM_RATIO = 5
"""Ratio of largest to smallest value above which an axis is logarithmic."""
NARROW_RATIO = 2
"""Ratio below which a logarithmic axis has evenly spaced ticks: it spans too few powers and multiples."""
LEGEND_ROWS = 18
"""Number of rows that fit beside the axes."""
MOST_ENTRIES = 36
MOST_VECTOR = 1000
"""Largest number of marks that an SVG holds one by one; more are pixels."""
CHARACTER, HANDLE = 0.075, 0.65
"""Width in inches of a character in small print, and of a legend handle with its margins."""
ENTRY_WIDTH = 44
"""Width in characters of an entry of a legend beside the axes, unless entries would then be alike."""
TICK_GAP = 12.0
"""Smallest gap between the labels of a horizontal axis in pixels, at matplotlib's 100 dots per inch."""


LOST_STEP = 0.045
"""Height of a cross at the upper edge, as a fraction of the height of the axes."""
MOST_LOST = 0.3
"""Largest height of crosses below each other, as a fraction of the height of the axes."""
LOST_STYLE: Any = {"marker": "x", "markersize": 6, "markeredgewidth": 1.6, "linestyle": "none"}


@dataclass(frozen=True, slots=True)
class Look:
    """Appearance of a series: its colour, and without colour its marker and line style, or hatch (bars)."""

    color: str
    marker: str
    hatch: str
    line: Any = "solid"


def look(index: int) -> Look:
    """Return the appearance of the series with this index; the first 24 differ from each other in two ways."""
    line = SERIES_STYLES[index // len(COLORS) % len(SERIES_STYLES)]
    return Look(COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)], HATCHES[index % len(HATCHES)], line)


def marker_face(source: Source, color: str) -> str:
    """Return the fill colour of a marker: published ones are hollow, ours solid."""
    return "white" if source is Source.PUBLISHED else color


def text_color(background: ColorType) -> str:
    """Return the one of INKS that has more contrast."""
    return max(INKS, key=lambda ink: contrast(ink, background))


def contrast(first: ColorType, second: ColorType) -> float:
    """Return the ratio of contrast by WCAG 2, from 1 to 21."""
    darker, brighter = sorted((luminance(first), luminance(second)))
    return (brighter + 0.05) / (darker + 0.05)


def luminance(color: ColorType) -> float:
    """Return the relative luminance by WCAG 2, from 0 to 1."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def wants_log(values: Sequence[float]) -> bool:
    """Return whether values span so much that a linear axis would crowd most of them."""
    return bool(values) and min(values) > 0 and max(values) > LOG_FROM_RATIO * min(values)


def labelled_digits(ratio: float) -> tuple[float, ...]:
    """Return the leading digits of the ticks on a logarithmic axis that spans this ratio: all nine would overlap."""
    if ratio < 10:
        return (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    return (1.0, 2.0, 5.0) if ratio < 1000 else (1.0,)


def set_log(axis: Axis, values: Sequence[float]) -> None:
    """Make an axis logarithmic, with a few labels in plain numbers."""
    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    ratio = max(values) / min(values)
    narrow = ratio < NARROW_RATIO
    axis.set_major_locator(MaxNLocator(6, min_n_ticks=1) if narrow else LogLocator(subs=labelled_digits(ratio)))
    axis.set_minor_locator(NullLocator())
    plain_numbers(axis)


def set_scale(axis: Axis, values: Sequence[float]) -> None:
    """Make an axis logarithmic if the values span much, with labels in plain numbers in any case."""
    if wants_log(values):
        set_log(axis, values)
    else:
        plain_numbers(axis)


def mark_lost(axes: Axes, marks: Sequence[tuple[float, str]]) -> None:
    """Put a cross at the upper edge of the axes for each (x, colour); those of one x stand below each other.

    The axes grow upwards by the crosses, so that they cover no data.
    """
    if not marks:
        return
    deepest = max(Counter(x for x, _ in marks).values())
    step = min(LOST_STEP, MOST_LOST / deepest)
    scale = axes.yaxis.get_transform()
    low, high = (float(end) for end in scale.transform(axes.get_ylim()))
    top = scale.inverted().transform([low + (high - low) / (1 - step * deepest)])[0]
    axes.set_ylim(axes.get_ylim()[0], top)
    rows: Counter[float] = Counter()
    places: dict[str, list[tuple[float, float]]] = {}
    for x, color in marks:
        places.setdefault(color, []).append((x, 1 - step * (rows[x] + 0.5)))
        rows[x] += 1
    for color, found in places.items():
        style: Any = {**LOST_STYLE, "color": color, "rasterized": len(found) > MOST_VECTOR}
        axes.plot(*unzipped(found), transform=axes.get_xaxis_transform(), **style)


def lost_handle(label: str = "diverged or failed") -> Line2D:
    """Return the entry of a legend for crosses at the upper edge."""
    return Line2D([], [], linestyle="none", marker="x", color="black", markeredgewidth=1.6, label=label)


def unzipped(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the x and the y of all points."""
    return [x for x, _ in points], [y for _, y in points]


def plain_numbers(axis: Axis) -> None:
    """Label an axis with plain numbers of at most four digits."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def keep_apart(spans: Sequence[tuple[float, float]], ranks: Sequence[float], gap: float) -> list[int]:
    """Return the indices of spans that are at least `gap` apart, chosen by falling rank."""
    kept: list[int] = []
    for index in sorted(range(len(spans)), key=lambda index: (-ranks[index], -spans[index][1])):
        start, stop = spans[index]
        if all(start >= spans[other][1] + gap or stop + gap <= spans[other][0] for other in kept):
            kept.append(index)
    return sorted(kept)


def label_ticks(figure: Figure, axis: Axis, ranks: dict[float, int]) -> None:
    """Put ticks on an axis at these values; of overlapping labels, that with the lower rank is dropped."""
    values = sorted(ranks)
    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    plain_numbers(axis)
    figure.draw_without_rendering()
    labels = [label for label in axis.get_ticklabels() if label.get_text()]
    if len(labels) != len(values):
        return
    extents: list[Bbox] = [label.get_window_extent() for label in labels]
    is_x = isinstance(axis, XAxis)
    spans = [(extent.x0, extent.x1) if is_x else (extent.y0, extent.y1) for extent in extents]
    kept = keep_apart(spans, [ranks[value] for value in values], TICK_GAP if is_x else 0.0)
    axis.set_major_locator(FixedLocator([values[index] for index in kept]))
    axis.set_minor_locator(FixedLocator([value for index, value in enumerate(values) if index not in kept]))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def legend_beside_width(handles: Sequence[Line2D | Patch]) -> float:
    """Return the width in inches of a legend with these entries beside the axes."""
    longest = max(map(len, _entries(handles)), default=0)
    return -(-min(len(handles), MOST_ENTRIES) // LEGEND_ROWS) * (CHARACTER * longest + HANDLE)


def _entries(handles: Sequence[Line2D | Patch]) -> list[str]:
    """Return the labels of entries beside the axes, shortened unless that would make two of them alike."""
    labels = [str(handle.get_label()) for handle in handles]
    widths = (ENTRY_WIDTH, 2 * ENTRY_WIDTH, max(map(len, labels), default=0))
    found = ([shortened(label, width) for label in labels] for width in widths)
    return next((short for short in found if len({*short}) == len({*labels})), labels)


def legend_beside(axes: Axes, heading: str, groups: Sequence[tuple[str, Sequence[Line2D | Patch]]]) -> None:
    """Draw a legend to the right of the axes, with a heading for each group if there are several."""
    handles: list[Line2D | Patch] = []
    for name, members in groups:
        if len(groups) > 1:
            handles.append(heading_handle(name))
        handles += members
    if len(handles) > MOST_ENTRIES:
        left_out = len(handles) - MOST_ENTRIES + 1
        handles = [*handles[: MOST_ENTRIES - 1], heading_handle(f"and {left_out} more")]
    axes.legend(
        handles=handles,
        labels=_entries(handles),
        title=heading,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        fontsize="small",
        title_fontsize="small",
        ncols=-(-len(handles) // LEGEND_ROWS) or 1,
        columnspacing=1.0,
        handlelength=3.2,
        frameon=False,
    )


def heading_handle(text: str) -> Line2D:
    """Return a legend entry that is only text."""
    return Line2D([], [], linestyle="none", label=text)


def legend_columns(handles: Sequence[Line2D | Patch], width: float) -> int:
    """Return how many columns of these entries fit into a width (inches) in small print: at most five."""
    longest = max((len(_entry(handle, width)) for handle in handles), default=0)
    return max(1, min(5, len(handles), int(width / (CHARACTER * longest + HANDLE))))


def _entry(handle: Line2D | Patch, width: float) -> str:
    """Return the label of an entry, shortened to one column of this width."""
    return shortened(str(handle.get_label()), int((width - HANDLE) / CHARACTER))


def legend_height(handles: Sequence[Line2D | Patch], width: float) -> float:
    """Return the height in inches of the legend with its heading."""
    return 0.19 * (-(-len(handles) // legend_columns(handles, width)) + 1) + 0.12


def fill_with_legend(axes: Axes, handles: Sequence[Line2D | Patch], heading: str, width: float) -> None:
    """Turn axes into a legend, which so has its own space whatever its size."""
    axes.set_axis_off()
    axes.legend(
        handles=handles,
        labels=[_entry(handle, width) for handle in handles],
        title=heading,
        loc="upper center",
        ncols=legend_columns(handles, width),
        borderaxespad=0.0,
        fontsize="small",
        title_fontsize="small",
        handlelength=2.6,
        handleheight=1.2,
        frameon=False,
    )


def wrapped(text: str, width: int) -> str:
    """Wrap lines that are longer than `width` characters."""
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""])


def set_title(axes: Axes, text: str, width: int = 74) -> None:
    """Put a title above the axes, wrapped at `width` characters."""
    axes.set_title(wrapped(text, width), fontsize="medium")


@contextlib.contextmanager
def literal_text() -> Iterator[None]:
    """Draw texts as they are written: `$` begins no formula, and characters that the font lacks are boxes."""
    with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


def without_controls(figure: Figure) -> Figure:
    """Replace control characters in the texts of a figure, since SVG may not contain them, and return it."""
    for text in figure.findobj(Text):
        shown = printable(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)
    return figure


@literal_text()
def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.svg and `stem`.png; equal figures give equal bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in FORMATS]
    for path, suffix in zip(paths, FORMATS, strict=True):
        path.unlink(missing_ok=True)  # otherwise we would write through a link
        path.write_bytes(image(figure, suffix))
    return paths


def image(figure: Figure, suffix: str) -> bytes:
    """Return a figure as one of FORMATS; equal figures give equal bytes.

    matplotlib names a clip path after its unrounded corners, whose last bits vary, so we number the clip paths.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "batchscape", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=suffix, dpi=DPI, metadata={"Date": None} if suffix == "svg" else None)
    content = buffer.getvalue()
    if suffix != "svg":
        return content
    ids = {name: b"clip%d" % number for number, name in enumerate(re.findall(rb'<clipPath id="(\w+)"', content))}
    return re.sub(rb'(?<=url\(#)\w+|(?<=<clipPath id=")\w+', lambda match: ids.get(match[0], match[0]), content)
