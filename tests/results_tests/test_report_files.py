"""The two files: self-contained, escaped, and the same for the same Parquet files."""

import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

import tune_main
from results.figures.style import COLORS, GRADIENT, contrast
from results.parquet.files import export_tables, read_epochs, read_trials
from results.parquet.markdown import code_block, escaped
from results.parquet.stamp import read_stamp
from results.report.figures import THEMED, isolated
from results.report.files import write_report
from results.report.page_data import SCRIPTS
from results.store.local_store import LocalStore
from tests.conftest import ROOT
from tests.refusals import refused
from tests.results_tests.report_samples import SWEEP, write_evil_sweep

EXAMPLES = ROOT / "results" / "examples"
REPORT = ROOT / "results" / "report"


class Page(HTMLParser):
    """Tags, ids and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "xlink:href", "srcset", "data", "action"):
                self.links.append(value or "")
            elif name.startswith("on"):
                self.handlers.append(name)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both files."""
    store = write_evil_sweep(tmp_path_factory.mktemp("evil"))
    write_report(store, SWEEP, store.sweep_folder(SWEEP))
    return store.sweep_folder(SWEEP)


@pytest.fixture(scope="module")
def html(evil: Path) -> str:
    return (evil / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_only_our_scripts_run_and_nothing_is_loaded(page: Page, html: str) -> None:
    assert not {"link", "iframe", "object", "embed", "img", "base"} & set(page.tags)
    found = re.findall(r"<script>\n(.*?)\n</script>", html, re.DOTALL)
    assert found == [(REPORT / name).read_text(encoding="utf-8") for name in SCRIPTS]
    assert page.tags.count("script") == len(SCRIPTS) + 1, "and the data"
    assert page.handlers == []
    assert [link for link in page.links if not link.startswith("#")] == []
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html[: html.index("<script")]) == []


def test_the_library_is_what_its_package_ships() -> None:
    rows = re.findall(
        r"^\| `([^`]*)` .*`([0-9a-f]{64})` \|$", (REPORT / "vendor/README.md").read_text(), re.MULTILINE
    )
    assert {f"vendor/{name}" for name, _ in rows} == {name for name in SCRIPTS if name.startswith("vendor/")}
    assert {name: hashlib.sha256((REPORT / "vendor" / name).read_bytes()).hexdigest() for name, _ in rows} == dict(
        rows
    )
    assert all((REPORT / "vendor" / name).is_file() for name in ("LICENSE", "NOTICE"))


def test_the_page_without_its_data_is_small_and_our_scripts_are_short(html: str) -> None:
    assert sum(len((REPORT / name).read_bytes()) for name in SCRIPTS) < 1_500_000
    assert all(len((REPORT / name).read_text().splitlines()) <= 600 for name in SCRIPTS if "/" not in name)
    static = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "trial-" in static[static.index("<noscript>") : static.index("</noscript>")]


def test_ids_are_unique_and_every_link_has_its_anchor(page: Page, html: str) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", html[: html.index("<script")])) <= set(page.ids)
    assert {link for link in page.links if link.startswith("#runs-")} == {"#runs-1", "#runs-2", "#runs-3"}


def test_what_was_written_as_markup_is_read_as_text(html: str) -> None:
    shown = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
    assert html.count(shown) >= 6  # description, space, error, override, and the variables of each trial
    assert html.count("</style>") == 1


def test_markdown_shows_markup_as_text(evil: Path) -> None:
    read = read_stamp((evil / "report.md").read_bytes())
    assert read is not None
    text = read.body.decode()
    outside = re.sub(r"^```\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<" not in outside
    assert "&lt;script&gt;" in outside
    assert "NOT COMPARABLE" in outside


def test_the_warning_comes_before_the_comparison(html: str) -> None:
    section = html[html.index('<section id="comparison">') :]
    assert section.index("NOT COMPARABLE") < section.index("<table>")


def test_every_cell_of_a_results_table_is_a_link(html: str) -> None:
    section = html[html.index('<section id="results">') : html.index('<section id="comparison">')]
    assert section.count("<td") == section.count('<a href="#') == 4 * 10


@pytest.mark.parametrize("name", ["quickstart", "cifar10_smoke"])
def test_the_same_parquet_files_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_report(LocalStore(EXAMPLES), name, tmp_path / "a")]
    assert [path.read_bytes() for path in write_report(LocalStore(EXAMPLES), name, tmp_path / "b")] == first


def test_figures_that_the_sweep_cannot_fill_are_left_out(tmp_path: Path) -> None:
    text = write_report(LocalStore(EXAMPLES), "quickstart", tmp_path)[0].read_text()
    assert text.count("<figure ") == text.count("<svg ") == text.count("</svg>") >= 4
    assert 'id="comparison"' not in text
    assert 'id="failures"' not in text
    assert '<p class="note">error_by_epochs is left out: the number of epochs does not vary</p>' in text


def test_an_inline_figure_keeps_to_itself() -> None:
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "http://w3.org/x"><svg width="72pt" viewBox="0 0 1 1">'
        '<metadata>http://a</metadata><style type="text/css">*{fill: red}</style><!-- </svg><script> -->'
        '<path id="p" clip-path="url(#c)"/><use xlink:href="#p" style="fill: #ffffff; stroke: #0072b2"/></svg>'
    )
    text = isolated("one", svg)
    assert text.startswith('<svg role="img" aria-label="one" viewBox="0 0 1 1" style="--width: 1.00in; ')
    assert text.endswith(
        '<path id="one-p" clip-path="url(#one-c)"/><use xlink:href="#one-p" style="'
        'fill: var(--page, #ffffff); stroke: #0072b2"/></svg>'
    )
    assert "script" not in text


def test_colours_of_data_stand_out_from_a_light_and_a_dark_page() -> None:
    css = "\n".join(path.read_text() for path in sorted((ROOT / "results" / "report").glob("*.css")))
    pages = set(re.findall(r"--page: (#[0-9a-f]{6});", css))
    assert len(pages) == 2
    drawn = [color for color in COLORS if color != "#000000"] + [GRADIENT(number / 20) for number in range(21)]
    assert all(contrast(color, page) >= 3 for color in drawn for page in pages)
    assert all(f"--{variable}: " in css for variable in THEMED.values())


def test_markdown_text_cannot_leave_its_place() -> None:
    assert escaped("in [+1, -2]: so") == "in [+1, -2]: so", "no link, as it is not at the beginning"
    assert escaped("[a]: b") == "\\[a]: b"
    assert escaped("a|b\n*c* <i> `d`") == "a\\|b \\*c\\* &lt;i&gt; \\`d\\`"
    assert code_block("x\n````\n") == "`````\nx\n````\n`````"


def test_the_command_writes_beside_the_parquet_files_or_into_a_given_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(EXAMPLES / "quickstart", store / "quickstart")
    assert tune_main.main(["report", "quickstart", "--store", str(store)]) == 0
    assert capsys.readouterr().out.split() == [str(store / "quickstart" / f"report.{end}") for end in ("html", "md")]
    assert tune_main.main(["report", "quickstart", "--store", str(store), "--to", str(tmp_path / "there")]) == 0
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["report.html", "report.md"]


def test_an_unknown_sweep_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no sweep 'nothing'" in refused(["report", "nothing", "--store", str(tmp_path)], capsys)


def test_a_location_that_cannot_be_written_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        arguments = ["report", "quickstart", "--store", str(EXAMPLES), "--to", str(target)]
        assert "file is a file, not a folder" in refused(arguments, capsys)


def test_a_sweep_without_a_trial_has_a_report_too(tmp_path: Path) -> None:
    examples, store = LocalStore(EXAMPLES), LocalStore(tmp_path)
    nothing = [read(examples, "quickstart").slice(0, 0) for read in (read_trials, read_epochs)]
    export_tables(nothing[0], nothing[1], str(tmp_path / "quickstart"))
    page, markdown = (path.read_text() for path in write_report(store, "quickstart", tmp_path))
    assert "9 planned: 9 not started" in page
    assert "No trial has started." in page
    assert "No trial has started." in markdown
    assert "<figure" not in page
