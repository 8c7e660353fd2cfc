"""What a browser makes of a page's layout."""

from dataclasses import dataclass

from playwright.sync_api import Page

_MEASURE = """() => {
  const width = innerWidth, all = [...document.body.querySelectorAll("*:not(svg *)")];
  const style = new Map(all.map(e => [e, getComputedStyle(e)]));
  const seen = e => e.checkVisibility({visibilityProperty: true}) && e.clientWidth > 1 && e.clientHeight > 1;
  const scrolls = e => ["auto", "scroll"].includes(style.get(e)?.overflowX);
  const in_box = e => { while ((e = e.parentElement)) if (scrolls(e)) return true; return false; };
  const name = e => `${e.tagName.toLowerCase()}.${e.className} ${e.textContent.trim().slice(0, 40)}`;
  const box = e => e.getBoundingClientRect();
  const trials = window.batchscape?.page.model.data.trials;
  const is_handled = name => trials && (name.startsWith("trial-") && trials.key.includes(name.slice(6))
    || name.startsWith("runs-") && trials.cell.includes(Number(name.slice(5))));
  return {
    scroll_width: document.documentElement.scrollWidth,
    too_wide: all.filter(e => seen(e) && !in_box(e) && (box(e).right > width + 1 || box(e).left < -1)).map(name),
    cut_off: all.filter(e => seen(e) && ["hidden", "clip"].includes(style.get(e).overflowX)
      && e.scrollWidth > e.clientWidth + 1).map(name),
    lost_links: [...document.querySelectorAll("a[href]")].map(a => decodeURIComponent(a.hash.slice(1)))
      .filter(name => !document.getElementById(name) && !is_handled(name)),
    num_links: document.querySelectorAll("a[href]").length,
    wide_tables: all.filter(e => e.tagName == "TABLE" && e.scrollWidth > e.parentElement.clientWidth).length,
    num_figures: [...document.querySelectorAll("figure svg")].filter(s => box(s).height > 100).length,
  };
}"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Faults of a layout, each element by its tag and text, and numbers that show that there was something to see."""

    scroll_width: int
    too_wide: list[str]
    """Visible elements beyond the edges of the window, outside boxes that can be scrolled."""
    cut_off: list[str]
    """Visible elements that hide a part of their content."""
    lost_links: list[str]
    num_links: int
    wide_tables: int
    """Number of tables that are wider than their box."""
    num_figures: int


def layout(page: Page, width: int) -> Layout:
    """Return the layout of the page in a window of this width."""
    page.set_viewport_size({"width": width, "height": 900})
    return Layout(**page.evaluate(_MEASURE))
