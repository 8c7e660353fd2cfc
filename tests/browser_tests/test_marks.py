"""Marks of the interactive charts: they lie where the axes have them, and tell what they stand for."""

import copy

import pytest
from playwright.sync_api import Page, expect

from tests.browser_tests.conftest import DESK, PHONE
from tests.browser_tests.explorer import METRIC, NUM_TRIALS, Data, box_of, drag, num_selected

PAINTED = """([view, act]) => {
  const page = batchscape.page, chart = page[view], [symbol, line] = [drawSymbol, strokeLine];
  const painted = [], wanted = [];
  window.drawSymbol = (...all) => { painted.push(all[2]); symbol(...all); };
  window.strokeLine = (...all) => { painted.push(...all[1]); line(...all); };
  eval(act);
  [window.drawSymbol, window.strokeLine] = [symbol, line];
  const [x, y] = chart.scales(), {trials, curves} = page.model.data, metric = curves[chart.metric];
  const add = (across, up) => wanted.push(chart.chart.convertToPixel("grid", [across, up]));
  if (view == "scatter") for (const at in trials.key) add(x.place(trials[chart.x][at]), y.place(trials[chart.y][at]));
  else for (const at of chart.drawn) curves.epochs[at].forEach((x, step) => add(x, y.place(metric[at][step])));
  const {width, height} = chart.plot.getBoundingClientRect(), gap = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  return {gap: Math.max(...wanted.map(a => Math.min(...painted.map(b => gap(a, b))))), painted: painted.length,
    outside: painted.filter(([x, y]) => x < 0 || y < 0 || x > width || y > height).length};
}"""
"""What is painted while a script runs, and the pixels by which it is off the axes of the library."""


def tagged(data: Data) -> tuple[Data, list[str]]:
    """Return the data with one more parameter, of long words, and these words."""
    changed = copy.deepcopy(data)
    tags = [f"{kind} of a label that no axis has room for" for kind in ("First", "Second", "Third")]
    changed["fields"].append(
        {"name": "tag", "label": "tag", "kind": "word", "log": False, "role": "parameter", "values": tags}
    )
    changed["trials"]["tag"] = [tags[index % 3] for index in range(NUM_TRIALS)]
    return changed, tags


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_marks_are_painted_where_the_axes_have_them(page: Page, data: Data, width: int) -> None:
    changed, tags = tagged(data)
    changed["trials"]["status"] = [("complete", "diverged", "unfinished")[index % 3] for index in range(NUM_TRIALS)]
    changed["trials"]["lr"][0] = 1e6
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("data => batchscape.update(data)", changed)
    acts = [("curves", f"chart.metric = '{metric}'; chart.draw(true)") for metric in ("lr", "test_error_percent")] + [
        ("scatter", f"chart.choices({{x: '{x}', y: '{y}'}})")
        for x, y in (("momentum", METRIC), ("tag", "lr"), ("lr", "tag"), ("status", "status"))
    ]
    for act in acts:
        found = page.evaluate(PAINTED, act)
        assert found["painted"] >= NUM_TRIALS, act
        assert (found["gap"] < 0.5, found["outside"]) == (True, 0), (act, found)
    page.evaluate("batchscape.page.scatter.choices({x: 'lr', y: 'tag'})")
    box = box_of(page, "scatter")
    middle = page.evaluate("batchscape.page.scatter.chart.convertToPixel('grid', [0, 1])[1]")
    page.mouse.move(box["x"] + 80, box["y"] + middle, steps=2)
    expect(page.locator(".view.scatter .plot")).to_contain_text(tags[1])


def test_a_cell_of_the_heat_map_tells_why_a_value_is_missing(page: Page, data: Data) -> None:
    changed = copy.deepcopy(data)
    words = {"complete": "– none recorded", "failed": "✖ failed", "running": "○ running"}
    for index, status in enumerate(words):
        changed["trials"]["status"][index], changed["trials"][METRIC][index] = status, None
        changed["trials"]["batch_size"][index] = 64 * (index + 1)
    page.evaluate("data => batchscape.update(data)", changed)
    texts = page.evaluate("[...batchscape.page.heat.cells().values()].map(cell => cell.text)")
    note = page.locator(".view.heat .note").inner_text()
    for text in (*words.values(), "▲ diverged"):
        assert any(text[0] in cell for cell in texts), text
        assert text in note


def test_a_selection_names_the_trials_without_a_value_that_it_takes(page: Page, data: Data) -> None:
    page.evaluate("batchscape.page.scatter.choices({x: 'lr'})")
    num_lost = data["trials"][METRIC].count(None)
    for above, end, least in ((0.3, "or none", num_lost + 1), (0.12, ") none", num_lost)):
        drag(page, box_of(page, "scatter"), (0.14, 0.05), (0.95, above))
        chip = page.get_by_role("button", name="no longer select by scatter plot").inner_text()
        assert chip.splitlines()[0].endswith(end), chip
        assert num_selected(page) >= least > 0


def test_an_axis_of_words_shows_all_of_them_on_a_phone(page: Page, data: Data) -> None:
    changed, tags = tagged(data)
    page.set_viewport_size({"width": PHONE, "height": 900})
    page.evaluate("data => batchscape.update(data)", changed)
    page.evaluate("batchscape.page.scatter.choices({x: 'tag'})")
    for view in ("parallel", "scatter"):
        shown = page.evaluate(
            "view => batchscape.page[view].chart.getZr().storage.getDisplayList(true).map(part => part.style.text)",
            view,
        )
        assert all(any(text and text[:4] == tag[:4] for text in shown) for tag in tags), view


def test_nothing_is_painted_beyond_the_axes_of_a_zoom(page: Page) -> None:
    page.get_by_role("button", name="Zoom", exact=True).first.click()
    drag(page, box_of(page, "scatter"), (0.3, 0.6), (0.6, 0.8))
    outside = page.evaluate("""() => {
      const {canvas, grid, size, chart} = batchscape.page.scatter, {left, top} = grid, [width, height] = size;
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const at = index => [Math.floor(index / 4) % canvas.width, Math.floor(index / 4 / canvas.width)];
      const isIn = ([x, y]) => x >= left - 1 && x <= left + width && y >= top - 1 && y <= top + height;
      const drawn = [...data.keys()].filter(index => index % 4 == 3 && data[index]).map(at);
      return [drawn.length, drawn.filter(point => !isIn(point)).length]; }""")
    assert (outside[0] > 0, outside[1]) == (True, 0)


def test_log_axes_have_round_ticks_and_the_legend_each_status_once(page: Page) -> None:
    ticks = page.evaluate(
        """[[1.21, 1.7], [1.3, 1.45], [0.11, 0.9]].flatMap(ends =>
          new Scale({kind: "number", log: true, role: "result"}, ends).ticks().map(place => 10 ** place))"""
    )
    assert len(ticks) > 6
    assert all(abs(tick - float(f"{tick:.3g}")) < 1e-9 for tick in ticks)
    page.locator(".bar").get_by_label("colour").select_option("status")
    assert page.locator(".legend").inner_text().count("diverged") == 1
