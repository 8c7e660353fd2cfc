"""The interactive part of a report in a real browser: table, charts, selection, keyboard, themes, foreign texts."""

import copy
import math
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from results.report.page_data import page_json
from tests.browser_tests.conftest import PHONE, Opener
from tests.browser_tests.explorer import METRIC, NUM_TRIALS, Data, box_of, drag, num_selected, numbers, status
from tests.browser_tests.measuring import layout

MARKUP = "</script></noscript><img class=evil src=x onerror=alert(1)><b class=evil>&lt;i&gt;\"'"
CHOICES = ((".bar", 0), (".bar", 1), (".view.scatter", 0), (".view.heat", 0), (".view.heat", 1))
"""Lists to choose from: metric, colour, and axes."""


def column(page: Page, name: str) -> list[str]:
    """Return the texts of a column of the table."""
    texts: list[str] = page.evaluate(
        """name => { const table = document.querySelector("table.explored"),
          at = [...table.querySelectorAll(".names th")].findIndex(th => th.dataset.name == name);
          return [...table.tBodies[0].rows].map(row => row.cells[at].textContent); }""",
        name,
    )
    return texts


def header(page: Page, name: str) -> Any:  # noqa: ANN401 (a locator)
    return page.locator(f'th[data-name="{name}"]')


def test_a_report_has_less_than_3_mb_beside_its_data(report: Path, data: Data) -> None:
    assert report.stat().st_size - len(page_json(data)) < 3e6


def test_a_header_sorts_by_mouse_and_keyboard(page: Page, data: Data) -> None:
    header(page, "lr").get_by_role("button").click()
    assert [float(text) for text in column(page, "lr")] == sorted(numbers(data, "lr"))
    assert header(page, "lr").get_attribute("aria-sort") == "ascending"

    page.locator(".view.table .scroll").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    name = page.evaluate("document.activeElement.closest('th').dataset.name")
    assert header(page, name).get_attribute("aria-sort") == "ascending"
    assert header(page, "lr").get_attribute("aria-sort") == "none"

    for _ in range(2):
        header(page, METRIC).get_by_role("button").press("Enter")
    values = column(page, METRIC)
    assert values[-1] == "–", "a trial without a value is last in both directions"
    known = [float(text) for text in values if text != "–"]
    assert (known, len(known) < NUM_TRIALS) == (sorted(known, reverse=True), True)
    assert header(page, METRIC).get_attribute("aria-sort") == "descending"


def test_filters_select_in_all_views_and_can_be_taken_back(page: Page, data: Data) -> None:
    page.get_by_label("filter initial learning rate").fill("<0.05")
    page.get_by_label("filter schedule").fill("COS")
    wanted = sum(
        lr < 0.05 and schedule == "cosine"
        for lr, schedule in zip(data["trials"]["lr"], data["trials"]["schedule"], strict=True)
    )
    assert 0 < wanted == num_selected(page) == len(column(page, "lr"))
    assert set(column(page, "schedule")) == {"cosine"}
    for view in ("scatter", "parallel"):
        assert f" {wanted} trials" in str(page.locator(f".view.{view} .plot").get_attribute("aria-label"))

    page.get_by_label("filter initial learning rate").fill("<about 1")
    assert page.get_by_label("filter initial learning rate").get_attribute("aria-invalid") == "true"
    assert "<about 1" in str(page.get_by_label("filter initial learning rate").get_attribute("title"))
    assert page.get_by_label("filter initial learning rate").get_attribute("placeholder") == "<0.1"
    page.get_by_role("button", name="Clear selection").click()
    assert (status(page), page.get_by_label("filter schedule").input_value()) == (f"{NUM_TRIALS} trials", "")


def test_a_drag_on_the_scatter_plot_selects_what_lies_in_it(page: Page, data: Data) -> None:
    box = box_of(page, "scatter")
    places = page.evaluate(
        "points => points.map(point => batchscape.page.scatter.chart.convertToPixel('grid', point))",
        [
            [math.log10(lr), -1e9 if error is None else error]
            for lr, error in zip(data["trials"]["lr"], data["trials"][METRIC], strict=True)
        ],
    )
    drag(page, box, (0.3, 0.25), (0.6, 0.8))
    inside, near = (
        {
            key[:8]
            for key, (x, y) in zip(data["trials"]["key"], places, strict=True)
            if 0.3 * box["width"] - gap <= x <= 0.6 * box["width"] + gap
            and 0.25 * box["height"] - gap <= y <= 0.8 * box["height"] + gap
        }
        for gap in (-2, 2)
    )
    selected = set(column(page, "key"))
    assert inside <= selected <= near
    assert 5 < num_selected(page) == len(selected) < NUM_TRIALS
    wanted = len(selected)
    assert f" {wanted} trials" in str(page.locator(".view.parallel .plot").get_attribute("aria-label"))
    assert f" of {wanted} trials" in str(page.locator(".view.curves .plot").get_attribute("aria-label"))
    assert (
        page.evaluate("[...batchscape.page.heat.cells().values()].reduce((sum, cell) => sum + cell.count, 0)")
        == wanted
    )


def test_the_other_charts_select_as_well(page: Page, data: Data) -> None:
    drag(page, box_of(page, "curves"), (0.9, 0.05), (0.95, 0.7))
    from_curves = num_selected(page)
    assert page.locator(".chip span").first.inner_text().endswith(" in epoch 6")
    assert 0 < from_curves < NUM_TRIALS
    page.get_by_role("button", name="Clear selection").click()

    box = box_of(page, "parallel")
    x, y = page.evaluate(
        """batchscape.page.parallel.chart.getModel().getComponent("parallel").coordinateSystem
          .getAxisLayout("dim1").position"""
    )
    drag(page, box, (x / box["width"], (y - 30) / box["height"]), (x / box["width"], (y - 100) / box["height"]))
    assert 0 < num_selected(page) < NUM_TRIALS
    page.get_by_role("button", name="Clear selection").click()

    box = box_of(page, "heat")
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    assert 0 < num_selected(page) < NUM_TRIALS


def test_hovering_a_point_tells_the_configuration(page: Page, data: Data) -> None:
    box = box_of(page, "scatter")
    index = data["trials"][METRIC].index(min(numbers(data, METRIC)))
    x, y = page.evaluate(
        "([x, y]) => batchscape.page.scatter.chart.convertToPixel('grid', [Math.log10(x), y])",
        [data["trials"]["lr"][index], data["trials"][METRIC][index]],
    )
    page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
    tip = page.locator(".view.scatter .hover")
    expect(tip).to_contain_text(f"trial {data['trials']['key'][index][:8]}")
    for name in ("momentum", "schedule", "weight_decay"):
        expect(tip).to_contain_text(str(data["trials"][name][index])[:5])


def test_metric_axes_and_colour_can_be_chosen(page: Page) -> None:
    def label(view: str) -> str:
        return str(page.locator(f".view.{view} .plot").get_attribute("aria-label"))

    page.locator(".bar").get_by_label("metric").select_option("test_error_percent")
    assert "Scatter plot of test error (%) against" in label("scatter")
    assert "mean test error (%)" in label("heat")
    page.locator(".bar").get_by_label("colour").select_option("schedule")
    page.locator(".view.scatter").get_by_label("x").select_option("momentum")
    assert "against momentum" in label("scatter")
    assert "by schedule" in label("scatter")
    page.locator(".view.curves").get_by_label("metric").select_option("train_loss")
    assert "training loss (nats)" in label("curves")


def test_the_best_is_what_the_metric_calls_better(page: Page, data: Data) -> None:
    def marked_as_best(name: str) -> list[str]:
        page.locator(".bar").get_by_label("metric").select_option(name)
        return [text for at in page.locator("tr.best").all() if (text := str(at.get_attribute("data-key")))]

    def heat_color() -> str:
        drawn = page.evaluate(
            "cellShape({ coord: at => at, size: at => at }, { mean: 2, isSelected: true },"
            " { scale: new Scale(batchscape.page.model.field(batchscape.page.model.metric), [1, 2]), theme: {} })"
        )
        return str(drawn["style"]["fill"])

    keys, speeds, errors = (data["trials"][name] for name in ("key", "images_per_second", "test_error_percent"))
    assert marked_as_best("images_per_second") == [keys[speeds.index(max(speeds))]]
    assert "The best 20 of" in page.locator(".view.curves .note").inner_text()
    of_most_speed = heat_color()
    assert marked_as_best("test_error_percent") == [keys[errors.index(min(numbers(data, "test_error_percent")))]]
    assert heat_color() != of_most_speed, "dark is bad"
    assert marked_as_best("epochs_done") == []
    assert "The first 20 of" in page.locator(".view.curves .note").inner_text()


def test_a_trial_opens_and_closes_by_keyboard(page: Page, data: Data) -> None:
    button = page.locator("table.explored tbody button").first
    key = button.get_attribute("title")
    index = data["trials"]["key"].index(key)
    button.press("Enter")
    panel = page.get_by_role("complementary")
    expect(panel).to_be_visible()
    for text in (f"Trial {key}", str(data["trials"]["schedule"][index]), "Attempts", f"logs {key} --store"):
        expect(panel).to_contain_text(text, ignore_case=True)
    assert panel.locator("canvas").count() == 1, "its learning curve"
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    assert page.evaluate("document.activeElement.title") == key


def test_links_to_trials_and_configurations_arrive(page: Page, data: Data) -> None:
    keys = data["trials"]["key"]
    page.evaluate("location.hash = 'runs-3'")
    page.wait_for_function("batchscape.page.model.isSelecting")
    assert column(page, "key") == [
        key[:8] for key, cell in zip(keys, data["trials"]["cell"], strict=True) if cell == 3
    ]
    page.locator('#search a[href^="#trial-"]').first.click()
    expect(page.get_by_role("complementary")).to_be_visible()


def test_new_data_keeps_sorting_filters_selection_and_choices(page: Page, data: Data) -> None:
    header(page, "lr").get_by_role("button").click()
    page.get_by_label("filter momentum").fill(">0.6")
    drag(page, box_of(page, "scatter"), (0.2, 0.1), (0.6, 0.85))
    page.locator(".bar").get_by_label("colour").select_option("schedule")
    before, keys = num_selected(page), column(page, "key")
    assert 0 < before < sum(momentum > 0.6 for momentum in data["trials"]["momentum"])
    more = copy.deepcopy(data)
    for name in ("epochs", *(metric["name"] for metric in data["curves"]["metrics"])):
        more["curves"][name].append(data["curves"][name][0])
    for values in more["trials"].values():
        values.append(values[0])
    more["trials"]["key"][-1] = "f" * 16
    more["trials"]["lr"][-1] = 0.5 * min(numbers(data, "lr"))
    more["details"].append(data["details"][0])
    page.evaluate("data => batchscape.update(data)", more)
    assert status(page).endswith(f"of {NUM_TRIALS + 1} trials selected")
    assert page.get_by_label("filter momentum").input_value() == ">0.6"
    assert header(page, "lr").get_attribute("aria-sort") == "ascending"
    assert page.locator(".bar").get_by_label("colour").input_value() == "schedule"
    assert (num_selected(page), column(page, "key")) == (before, keys)


def test_what_was_not_chosen_follows_new_data(page: Page, data: Data) -> None:
    def shown() -> list[str]:
        return [str(page.locator(f"{at} select").nth(n).input_value()) for at, n in CHOICES]

    early = copy.deepcopy(data)
    early["fields"] = [field for field in data["fields"] if field["name"] not in ("lr", "batch_size", "schedule")]
    whole = shown()
    page.evaluate("data => batchscape.update(data)", early)
    assert not {"lr", "batch_size"} & set(shown())
    page.evaluate("data => batchscape.update(data)", data)
    assert shown() == whole
    page.locator(".view.heat select").nth(1).select_option("momentum")
    page.locator(".view.scatter").get_by_label("x").select_option("momentum")
    for new in (early, data):
        page.evaluate("data => batchscape.update(data)", new)
    assert shown() == [*whole[:2], "momentum", whole[3], "momentum"]


def test_views_with_nothing_to_show_are_left_out(page: Page, data: Data) -> None:
    def views(trials: int, fields: list[str]) -> list[str]:
        new = copy.deepcopy(data)
        new["fields"] = [field for field in data["fields"] if field["name"] in fields]
        new["trials"] = {name: values[:trials] for name, values in data["trials"].items()}
        page.evaluate("data => batchscape.update(data)", new)
        return [str(view.get_attribute("aria-label")) for view in page.locator(".view:visible").all()]

    assert views(1, [METRIC]) == ["Learning curves", "Table of the trials"]
    assert status(page) == "1 trial"
    lack = page.locator("#explorer > .note")
    words = "No parameter varies: there is nothing to show in scatter plot, parallel coordinates and heat map."
    assert lack.inner_text() == words
    assert views(NUM_TRIALS, [METRIC, "lr"])[:3] == ["Scatter plot", "Parallel coordinates", "Learning curves"]
    assert lack.inner_text() == "Only one parameter varies: there is nothing to show in heat map."
    assert len(views(NUM_TRIALS, [field["name"] for field in data["fields"]])) == 5
    expect(lack).to_be_hidden()


def test_the_charts_follow_the_theme(page: Page) -> None:
    colors = """() => [getComputedStyle(document.body).backgroundColor, batchscape.page.theme.text,
      batchscape.page.scatter.chart.getOption().xAxis[0].axisLabel.color]"""
    light = page.evaluate(colors)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("batchscape.page.theme.isDark")
    dark = page.evaluate(colors)
    assert all(before != after for before, after in zip(light, dark, strict=True))
    page.get_by_role("button", name="Light / dark").click()
    assert page.evaluate(colors) == light, "the reader's choice beats that of the system"


def test_print_is_light_and_whole(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("batchscape.page.theme.isDark")
    page.evaluate("batchscape.page.table.limit = 10; batchscape.page.draw(true)")
    page.set_viewport_size({"width": 1016, "height": 700})
    page.emulate_media(color_scheme="dark", media="print")
    page.wait_for_function("!batchscape.page.theme.isDark")
    assert len(column(page, "lr")) == NUM_TRIALS
    assert page.evaluate("batchscape.page.scatter.chart.getOption().xAxis[0].axisLabel.color") == "#444"
    cut = "box => [box.scrollHeight - box.clientHeight, box.scrollWidth - box.clientWidth]"
    assert page.locator(".view.table .scroll").evaluate(cut) == [0, 0]
    assert page.locator(".bar .legend").is_visible()
    assert not page.locator(".view .buttons button:visible, .filters:visible").count()
    page.emulate_media(color_scheme="dark", media="screen")
    page.wait_for_function("batchscape.page.theme.isDark")
    assert len(column(page, "lr")) == 10
    seen = "addEventListener('beforeprint', () => { window.printedDark = batchscape.page.theme.isDark; })"
    page.evaluate(seen)
    page.pdf()
    assert page.evaluate("[window.printedDark, batchscape.page.theme.isDark]") == [False, True]


def test_without_scripts_everything_can_be_read(open_page: Opener, report: Path, data: Data) -> None:
    page = open_page(report, scripts=False, width=PHONE)
    text = page.locator("body").inner_text()
    assert "Explore" not in text
    for key in data["trials"]["key"]:
        assert key in text
    assert "All trials" in text
    assert "{" not in text, "the data of the page is not shown"


def marked(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Put markup before each text of a JSON value."""
    if isinstance(value, dict):
        return {name: marked(part) for name, part in value.items()}
    if isinstance(value, list):
        return [marked(part) for part in value]
    return f"{MARKUP}{value}" if isinstance(value, str) else value


def test_markup_in_any_field_is_shown_as_text(page: Page, data: Data) -> None:
    evil = copy.deepcopy(data)
    for part in ("sweep", "shared", "details"):
        evil[part] = marked(data[part])
    evil["details"] = [{f"{MARKUP}{name}": text for name, text in facts.items()} for facts in evil["details"]]
    for facts in evil["details"]:
        facts["error"] = MARKUP
    evil["curves"]["rule"] = MARKUP
    for metric in evil["curves"]["metrics"]:
        metric["label"] = MARKUP + metric["label"]
    for field in evil["fields"]:
        field["label"] = MARKUP + field["label"]
        if field["kind"] == "word":
            field["values"] = marked(field["values"])
            evil["trials"][field["name"]] = marked(evil["trials"][field["name"]])
    evil["trials"]["key"] = marked(data["trials"]["key"])
    page.evaluate("data => batchscape.update(data)", evil)
    header(page, "schedule").get_by_role("button").click()
    page.locator(".filters input").nth(1).fill("complete")
    page.locator("table.explored tbody button").first.click()
    box = box_of(page, "scatter")
    for step in range(20):
        page.mouse.move(box["x"] + box["width"] * (0.2 + step / 40), box["y"] + box["height"] * 0.7)
    assert page.locator(".evil").count() == 0
    assert MARKUP in page.get_by_role("complementary").inner_text()
    assert MARKUP in column(page, "schedule")[0]
    assert layout(page, PHONE).too_wide == []
