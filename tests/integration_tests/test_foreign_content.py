"""Text of unknown origin reaches every outlet as text: it commands no terminal, opens no markup, runs no formula."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from rich.console import Console

import tune_main
from results.figures.style import literal_text, save, without_controls
from results.parquet.files import read_epochs, read_trials
from results.report.content import make_report
from results.report.failure_logs import failure_logs
from results.report.html import render_html
from results.report.markdown import render_markdown
from results.report.page_data import page_data, page_json
from results.store.local_store import LocalStore
from sweep.ending import report_end
from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from sweep.serving.pages import sweep_page
from sweep.serving.sweep_watch import SweepWatch
from sweep.trackers.runs import tracked
from tests.conftest import ROOT
from tests.integration_tests.fault_table import record, user_sees
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from tests.trainable_tests.test_hf_parquet import png_header, random_images, write
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.trial_log import append, log_name
from trainable.records import Progress, Status
from trainable.wording import printable, printable_line, say

NASTY = {
    "title of the terminal": "\x1b]0;owned\x07\x1b[2J",
    "eight-bit control": "\x9b31m and \x85",
    "overwritten line": "bad\rgood\b\x7f",
    "lines": "first\nfailed 0123: forged\n\n# forged",
    "reversed": "\u202egnp.exe\u2066",
    "formula": "=cmd|'/C calc'!A0",
    "formula after a space": " @SUM(1)",
    "minus": "-2+3",
    "mathematics": "$\\frac{$ $x$",
    "tags": "</title></pre><img src=x onerror=alert(1)><script>alert('x')</script> &amp; \"",
    "link": "[x](javascript:alert(1)) ![y](http://z) [a]: b",
    "emphasis": "**b** __b__ *e* _e_ `c` ~~s~~ a|b \\*",
    "list": "1. one",
    "heading": "# one",
    "fence": "~~~ ``` ````",
    "hidden label": "_x",
    "rich markup": "[/] [bold red]x[/bold red] [link=http://z]",
    "no character": "\ud800 \U0001f600 \u4e2d",
    "NUL": "a\0b",
}
DRAWN = [NASTY[name] for name in ("mathematics", "lines", "title of the terminal", "hidden label", "no character")]
"""The texts that mean something to Matplotlib or to SVG."""
SWEEP = "foreign"


@pytest.fixture(params=list(NASTY.values()), ids=list(NASTY), scope="module")
def nasty(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


@pytest.fixture(scope="module")
def configs(nasty: str) -> list[TrainConfig]:
    return configs_on([nasty, "plain"])


def configs_on(datasets: Sequence[str]) -> list[TrainConfig]:
    return [make_config(dataset=name, epochs=2, lr=lr) for name in datasets for lr in (0.1, 0.2)]


@pytest.fixture(scope="module")
def store(nasty: str, configs: list[TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return write_store(tmp_path_factory.mktemp("foreign") / "store", configs, nasty)


def write_store(path: Path, configs: Sequence[TrainConfig], nasty: str) -> LocalStore:
    """A sweep whose error, log, variable and description are the text; its Parquet files are written."""
    store = LocalStore(path)
    for number, config in enumerate(configs):
        epochs = [make_epoch(epoch, 10.0 + number) for epoch in (1, 2)]
        if number == 1:
            write_trial(store, config, epochs[:1], make_end(Status.FAILED, 1, error=f"Error: {nasty}"))
            append(store.trial_folder(config.trial_key) / log_name(1), f"log: {nasty}\n")
        else:
            write_trial(store, config, epochs, make_end(Status.COMPLETE, 2))
    space = yaml.safe_dump({"name": SWEEP, "description": nasty, "grid": {"lr": [0.1, 0.2]}})
    trials = [PlannedTrial(config, 0, {nasty: 1.0}) for config in configs]
    manifest = make_manifest([], SWEEP, space=space + f"# {printable_line(nasty)}\n", trials=trials)
    with store.driving(manifest):
        pass
    assert tune_main.main(["export", SWEEP, "--store", str(store.path)]) == 0
    return store


def said(capsys: pytest.CaptureFixture[str], store: LocalStore, *arguments: str) -> str:
    """Run a command; nothing that it says may command a terminal."""
    capsys.readouterr()
    assert tune_main.main([*arguments, "--store", str(store.path)]) == 0
    return harmless(capsys)


def harmless(capsys: pytest.CaptureFixture[str]) -> str:
    out, error = capsys.readouterr()
    assert [text for text in (out, error) if printable(text) != text] == []
    return out + error


def log_text(nasty: str) -> str:
    """Return the text as it is read from a log."""
    return re.sub(r"\r\n?", "\n", nasty.encode(errors="replace").decode())


def squeezed(text: str) -> str:
    """Return the text without white space, which markup may change."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize(
    "command",
    [
        *("status", "list", "best", "best --yaml", "lint", "logs"),
        *("table", "table --format csv", "table --format json", "table --all"),
    ],
)
def test_nothing_commands_the_terminal(
    command: str, store: LocalStore, configs: list[TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command.split()
    target = {"list": [], "logs": [configs[1].trial_key]}.get(name, [SWEEP])
    said(capsys, store, name, *target, *options)


def test_an_error_is_one_line_of_status_and_of_the_end_of_a_run(
    store: LocalStore, configs: list[TrainConfig], nasty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"failed {configs[1].trial_key}: Error: {printable_line(nasty)}"
    assert f"  {line}" in said(capsys, store, "status", SWEEP).splitlines()
    report_end(store, store.manifest(SWEEP))
    assert line in harmless(capsys).splitlines()


def test_a_log_is_shown_as_text(
    store: LocalStore, configs: list[TrainConfig], nasty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, store, "logs", configs[1].trial_key)
    shown = printable(nasty.encode(errors="replace").decode().replace("\r", "\n"))
    assert f"log: {shown.rstrip()}" in text
    assert len([line for line in text.splitlines() if "FAILED: Error:" in line]) == 1


def test_json_holds_the_text_itself(store: LocalStore, nasty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(json.loads(said(capsys, store, "status", SWEEP, "--json"))["errors"].values()) == [f"Error: {nasty}"]
    said(capsys, store, "list", "--json")
    rows = json.loads(said(capsys, store, "table", SWEEP, "--format", "json"))
    assert {row["dataset"] for row in rows} == {nasty.encode(errors="replace").decode(), "plain"}


def test_no_cell_of_csv_is_a_formula(store: LocalStore, nasty: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(said(capsys, store, "table", SWEEP, "--format", "csv"))))
    assert len(rows) == 4
    rows += csv.DictReader(io.StringIO(said(capsys, store, "table", SWEEP, "--all", "--format", "csv")))
    assert [cell for row in rows for cell in row.values() if re.match(r"\s*[=+@-]", cell)] == []
    expected = printable_line(nasty.encode(errors="replace").decode())
    assert {row["dataset"].removeprefix("'") for row in rows} == {expected, "plain"}


class Shown(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


TAGS = {"p", "h1", "h2", "h3", "ul", "li", "strong", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"}


def assert_shown(markdown: str, nasty: str) -> None:
    assert printable(markdown) == markdown
    page = Shown(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))
    assert page.tags <= TAGS
    text = nasty.encode(errors="replace").decode()  # Parquet holds no lone surrogates
    shown = (printable(" ".join(text.split())), printable_line(text))  # as text, as a value
    assert any(squeezed(version) in squeezed(page.text) for version in shown)


def test_the_table_in_markdown_shows_the_text(
    store: LocalStore, nasty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_shown(said(capsys, store, "table", SWEEP), nasty)
    assert_shown(said(capsys, store, "table", SWEEP, "--all"), nasty)


def test_the_card_of_an_export_shows_the_text(store: LocalStore, nasty: str, tmp_path: Path) -> None:
    assert tune_main.main(["export", SWEEP, "--to", str(tmp_path / "to"), "--store", str(store.path)]) == 0
    front, card = (tmp_path / "to" / "README.md").read_text().removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(front)["pretty_name"] == f"Batchscape sweep {SWEEP}"
    assert_shown(card, nasty)


def test_reports_show_the_text(store: LocalStore, nasty: str) -> None:
    report = make_report(read_trials(store, SWEEP), read_epochs(store, SWEEP), SWEEP)
    assert_shown(render_markdown(report), nasty)
    trials, epochs = read_trials(store, SWEEP), read_epochs(store, SWEEP)
    data = page_json(page_data(trials, epochs, failure_logs(store, trials)))
    assert (printable(data), "<" in data) == (data, False)
    assert printable_line(nasty.encode(errors="replace").decode()) in json.loads(data)["trials"]["dataset"]
    logs = [details["log"] for details in json.loads(data)["details"] if "log" in details]
    assert [squeezed(log) for log in logs] == [squeezed(f"log: {printable(log_text(nasty))}")]
    html = render_html(report, {})
    assert printable(html) == html
    page = Shown(html)
    assert not {"script", "img", "link", "iframe"} & page.tags
    assert squeezed(printable(nasty.encode(errors="replace").decode())) in squeezed(page.text)
    assert page.text.count(f"{SWEEP}: report") == 1


def test_pages_of_the_server_show_the_text(store: LocalStore, configs: list[TrainConfig], nasty: str) -> None:
    watch = SweepWatch(store, SWEEP, 0.0)
    html = sweep_page(watch.facts(), nasty).decode()
    assert printable(html) == html
    page = Shown(html)
    assert not {"img", "iframe", "style"} & page.tags
    for text in (nasty, f"Error: {nasty}"):
        assert squeezed(printable(text).encode(errors="replace").decode()) in squeezed(page.text)
    assert printable(answer := (watch.changes_since("") or b"").decode()) == answer
    assert watch.trial_keys() == {config.trial_key for config in configs}


@pytest.mark.parametrize(
    "datasets",
    [pytest.param([" ".join(DRAWN)], id="in titles"), pytest.param(DRAWN, id="in legends")],
)
def test_figures_are_whole_svg(datasets: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = [*configs_on(datasets), make_config(dataset=datasets[0], epochs=2, lr=0.4)]
    store = write_store(tmp_path / "store", configs, datasets[0])
    said(capsys, store, "plot", SWEEP, "--to", str(tmp_path))
    said(capsys, store, "plot", SWEEP, "--figure", "scatter", "--to", str(tmp_path))
    figures = sorted(tmp_path.glob("*.svg"))
    assert {"error_by_lr", "learning_curves", "scatter"} <= {path.stem for path in figures}
    for path in figures:
        ET.parse(path)  # noqa: S314 (our own file)
    said(capsys, store, "report", SWEEP, "--to", str(tmp_path))
    assert len(figures) - 1 <= (tmp_path / "report.html").read_text().count("<svg ")  # a report has no scatter


def test_the_progress_of_a_run_shows_the_text(configs: list[TrainConfig], nasty: str) -> None:
    keys = {config.trial_key: config for config in configs}
    failed = Progress(None, Status.FAILED, replayed=False, error=nasty, note=nasty)
    for is_terminal in (False, True):
        out = io.StringIO()
        console = Console(file=out, force_terminal=is_terminal, width=200, color_system=None)
        with SweepView(console, SweepOutline(name=SWEEP), keys, {key: {nasty: 1.0} for key in keys}) as view:
            view.on_trial_start(configs[0].trial_key)
            view.on_progress(configs[0].trial_key, failed)
        text = re.sub(r"\x1b\[(\?25[lh]|\d*[AK])|\r", "", out.getvalue())  # what Rich itself needs
        assert printable(text) == text
        assert printable_line(nasty) in text


def test_trackers_get_one_line(nasty: str) -> None:
    assert tracked(nasty) == printable_line(nasty)
    assert tracked(0.1) == 0.1


@pytest.mark.parametrize("command", ["status {sweep}", "status {sweep} --watch 1", "logs {failed}", "list"])
def test_a_terminal_gets_no_control_sequence_of_an_error(command: str, tmp_path: Path) -> None:
    nasty = NASTY["title of the terminal"]
    configs = configs_on([nasty])
    store = write_store(tmp_path / "store", configs, nasty)
    words = command.format(sweep=SWEEP, failed=configs[1].trial_key).split()
    shown = in_terminal([sys.executable, "tune_main.py", *words, "--store", str(store.path)])
    assert b"\x1b]0;" not in shown
    assert b"\x1b[2J" not in shown
    if "list" not in words:
        assert rb"\x1b]0;owned\x07\x1b[2J" in shown.replace(b"\r\n", b"")
    assert b"\x1b" not in shown or "--watch" in words


def in_terminal(command: list[str], seconds: float = 60) -> bytes:
    """Return what a command writes to a terminal of its own until it ends or writes nothing for a while."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        content = b""
        with contextlib.suppress(OSError):  # the process has closed its side
            while select.select([ours], [], [], seconds)[0]:
                content += os.read(ours, 65536)
                if b"waiting for a `run`" in content:  # `--watch` has drawn its first picture
                    process.terminate()
        process.terminate()
    os.close(ours)
    return content


@pytest.mark.parametrize(
    ("fault", "content", "label"),
    [
        ("an image that is neither PNG nor JPEG", b"%!PS-Adobe-3.0 EPSF-3.0\n", 1),
        ("an image of 196 megapixels", png_header(14_000, 14_000), 1),
        ("a label far above the others", png_header(8, 8), 2**40),
    ],
)
def test_a_data_set_that_cannot_be_decoded_is_refused_in_one_line(
    fault: str, content: bytes, label: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "store"
    write(folder / "train-0.parquet", random_images(2), [0, 1])
    write(folder / "test-0.parquet", [random_images(1)[0], content], [0, label])
    status = tune_main.main(["plan", "quickstart", "--data", str(folder), "--store", str(tmp_path / "none")])
    record(fault, user_sees(capsys.readouterr().err), status, "nothing is trained")


def test_an_error_that_commands_a_terminal_is_shown_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = configs_on(["plain"])
    store = write_store(tmp_path / "store", configs, NASTY["title of the terminal"])
    text = said(capsys, store, "status", SWEEP)
    record("an error that commands a terminal", user_sees(text, about="Error"), 0, "the row holds the error itself")


def test_only_one_module_prints() -> None:
    """What is printed elsewhere would reach the terminal as it is."""
    rooms = ("cli", "sweep", "results", "search_spaces", "trainable", "models")
    found = [
        path.relative_to(ROOT).as_posix()
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
        if re.search(r"(?<![\w.])print\(", path.read_text())
    ]
    assert found == ["trainable/wording.py"]


def test_a_character_that_the_terminal_lacks_is_written_as_its_number() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    say("\u4e2d \x1b[1m", file=stream, flush=True)
    assert stream.buffer.getvalue() == b"\\u4e2d \\x1b[1m\n"


def test_no_text_of_a_figure_has_control_characters(tmp_path: Path) -> None:
    with literal_text():
        figure = Figure()
        figure.subplots().set_title("a \x1b[1m $\\frac{$")
        save(without_controls(figure), tmp_path / "figure")
    ET.parse(tmp_path / "figure.svg")  # noqa: S314 (our own file)
