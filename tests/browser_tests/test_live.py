"""The page of a sweep that really runs, in a browser: epochs come in, the driver dies, and another run resumes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page

from sweep.serving import board
from sweep.serving.paced import Paced
from tests.browser_tests.conftest import Opener
from tests.conftest import ROOT
from tests.integration_tests.processes import family, kill
from tests.results_tests.store_samples import train
from tests.sweep_tests.test_serving import CONFIGS, FAILED, make_store, served

PROGRAM = [sys.executable, str(ROOT / "tune_main.py")]
SPACE = """
name: live
defaults: {dataset: digits, model: resnet_preact_8, epochs: 400, batch_size: 32, train_subset: 64, precision: fp32}
grid: {lr: [0.1, 0.2]}
"""
PATIENCE_SECONDS = 120
"""Longest wait, on a machine busy with other tests."""
MILLISECONDS = 1000 * PATIENCE_SECONDS


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of ours whose output can be read; it and its children are killed at the end."""
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        kill(list(family(process.pid)))
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    word, url, *_ = process.stdout.readline().split()
    assert word == "serving"
    return url


def epochs_on(page: Page) -> int:
    return int(page.locator("#live progress").get_attribute("value") or "0")


def wait_for_epochs(page: Page, least: int) -> None:
    page.wait_for_function(
        "least => Number(document.querySelector('#live progress')?.value) >= least", arg=least, timeout=MILLISECONDS
    )


@pytest.mark.ray
def test_page_of_a_sweep_that_runs_is_killed_and_resumed(tmp_path: Path, open_page: Opener) -> None:
    space, store = tmp_path / "live.yaml", str(tmp_path / "store")
    space.write_text(SPACE)
    run = ["run", str(space), "--store", store, "--max-concurrent", "1"]
    with started("serve", "--store", store, "--port", "0") as server:
        page = open_page(url_of(server))
        assert page.get_by_text("This folder does not exist yet").is_visible()
        with started(*run) as driver:
            page.get_by_role("link", name="live").click(timeout=MILLISECONDS)  # it came without a reload
            page.evaluate("window.neverReloaded = true")
            wait_for_epochs(page, 1)
            seen = epochs_on(page)
            assert page.locator(".badge").inner_text() == "running"
            wait_for_epochs(page, seen + 1)
            page.locator("#explorer tbody tr").wait_for()  # in the table of the trials, too
            driver.send_signal(signal.SIGKILL)
        page.get_by_text("no driver is running").wait_for(timeout=MILLISECONDS)
        at_death = epochs_on(page)
        assert at_death > seen
        assert page.evaluate("window.neverReloaded")
        with started(*run, "--serve", "0") as resumed:
            beside = open_page(f"{url_of(resumed)}1/live/")
            page.get_by_text("running since").wait_for(timeout=MILLISECONDS)
            for shown in (page, beside):
                wait_for_epochs(shown, at_death + 1)
            assert page.evaluate("window.neverReloaded")
            for shown in (page, beside):
                shown.close()  # or it would complain that its server has ended
            resumed.send_signal(signal.SIGINT)
            assert resumed.wait(PATIENCE_SECONDS) == 130
            server.send_signal(signal.SIGINT)
            assert server.wait(5) == 130


def test_a_page_keeps_what_was_chosen_and_rests_while_it_is_hidden(
    tmp_path: Path, open_page: Opener, faults: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "default_seconds", lambda option: 0.05)
    monkeypatch.setattr(Paced, "_is_due", lambda self: True)
    store = make_store(tmp_path)
    train(store, CONFIGS[1], 2)
    with served(store) as server:
        page = open_page(f"{server.url}1/sweep/")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        rows = page.locator("#explorer tbody tr")
        page.locator("#explorer thead").get_by_role("button", name="learning rate").click()
        rows.nth(0).locator("button").click()
        opened = page.locator(".detail h3").inner_text()
        order = [row.inner_text().split()[0] for row in rows.all()]
        train(store, CONFIGS[1], 3)
        wait_for_epochs(page, 7)
        assert [row.inner_text().split()[0] for row in rows.all()] == order
        assert page.locator(".detail h3").inner_text() == opened
        assert "what it printed" in page.goto(f"{server.url}1/sweep/logs/{FAILED}").text()  # type: ignore[union-attr]
        page.go_back()
        rows.first.wait_for()
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        page.wait_for_timeout(300)
        asked.clear()
        page.wait_for_timeout(500)
        assert not asked
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(300)
        assert asked
        store.delete_sweep("sweep")
        page.get_by_text("This sweep was deleted: see all sweeps.").wait_for()
        assert not page.locator("#live .badge").count()
        asked.clear()
        page.wait_for_timeout(300)
        assert not asked
        page.get_by_role("link", name="all sweeps").last.click()
        page.get_by_text("No sweeps yet").wait_for()
        page.close()
        assert ["410 (Gone)" in fault for fault in faults] == [True]  # one answer, which the browser logs
        faults.clear()
