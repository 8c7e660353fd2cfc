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


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_marks_are_painted_where_the_axes_have_them(page: Page, data: Data, width: int) -> None:
    changed = copy.deepcopy(data)
    tags = [f"{kind} of a label that no axis has room for" for kind in ("First", "Second", "Third")]
    changed["fields"].append(
        {"name": "tag", "label": "tag", "kind": "word", "log": False, "role": "parameter", "values": tags}
    )
    changed["trials"]["tag"] = [tags[index % 3] for index in range(NUM_TRIALS)]
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
