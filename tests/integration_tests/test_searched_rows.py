"""The searches that ship, from the real search to table, figures and report: what one writes the other reads."""

import dataclasses
import math
from pathlib import Path

import optuna
import pytest

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import export_tables, read_trials
from results.parquet.search_results import read_search
from results.report.files import write_report
from results.store.local_store import LocalStore
from results.tables.search_table import sweep_table
from search_spaces.loader import load_space, shipped_spaces
from search_spaces.proposals import ProposalMaker
from sweep.search.search import Search
from sweep.search.settings import SearchSettings
from tests.refusals import refused
from tests.results_tests.result_samples import make_end, make_epoch, make_manifest, write_trial
from tests.sweep_tests.driven_searches import HalfStops, drive
from trainable.config import TrainConfig
from trainable.records import Status

SEARCHES = [name for name in shipped_spaces() if load_space(name).space.search is not None]
EPOCHS = 9
NUM_TRIALS = 14
CONFIRMED = "confirmed_test_error_percent"


def error(config: TrainConfig, epoch: int) -> float:
    return min(100.0, 30 * abs(math.log10(config.lr) + 1) + config.batch_size / 100 + 10 / epoch)


def write_searched(name: str, store: LocalStore) -> Search:
    """Driven without Ray over made-up curves; the ledgers hold what the log says."""
    loaded = load_space(name)
    maker = ProposalMaker(loaded, {"epochs": EPOCHS})
    wanted = SearchSettings(
        name, NUM_TRIALS, maker.search, maker.parameters, maker.objectives, maker.scheduler, maker.confirm
    )
    search = Search(wanted, store.search_log(name), maker.trial, maker.active, HalfStops())
    drive(search, error)
    done = [
        (proposal.config, len(proposal.reports), proposal.status)
        for proposal in search.record.proposals
        if proposal.config is not None and proposal.is_trained
    ]
    done += [(trial.config, EPOCHS, Status.COMPLETE) for trial in search.confirmations()]
    for config, num_epochs, status in done:
        values = {epoch: error(config, epoch) for epoch in range(1, num_epochs + 1)}
        records = [make_epoch(epoch, value, holdout_error_percent=value) for epoch, value in values.items()]
        end = None if status is Status.STOPPED else make_end(Status.COMPLETE, num_epochs)
        write_trial(store, config, records, end)
    tables = Collector(store, make_manifest([], name, space=loaded.source.text)).tables()
    export_tables(*tables, str(store.sweep_folder(name)))
    return search


@pytest.mark.parametrize("name", SEARCHES)
def test_what_the_search_chose_is_what_is_shown(name: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    search = write_searched(name, store)
    table = read_trials(store, name)
    found = read_search(table)
    assert found is not None
    assert [trial.number for trial in found.best] == [
        proposal.number for proposal in search.best(len(search.record.proposals))
    ]
    proposed = {proposal.number: dict(proposal.params) for proposal in search.record.proposals}
    for trial in found.trials:
        assert {key: trial.params[key] for key in proposed[trial.number]} == proposed[trial.number]
    assert {trial.number for trial in found.stopped} == {
        proposal.number
        for proposal in search.record.proposals
        if proposal.is_trained and proposal.status is Status.STOPPED
    }
    shown = found.confirmed or found.finalists
    assert len(sweep_table(table, "csv", with_mean=False).splitlines()) == 1 + len(shown)


@pytest.mark.parametrize("name", ["lr_batch_pareto", "lr_schedule_pbt"])
def test_the_report_shows_it(name: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    search = write_searched(name, store)
    page = write_report(store, name, tmp_path / "out")[0].read_text()
    assert 'id="figure-optimisation_history"' in page
    assert ('id="figure-parameter_importance"' in page) == (name != "lr_schedule_pbt")
    has_front = len(search.settings.objectives) > 1
    assert ("<h3>Pareto front</h3>" in page, 'id="figure-objective_front"' in page) == (has_front, has_front)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_whole_search_is_exported_for_optunas_dashboard(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path / "store")
    search = write_searched(name, store)
    store.write_manifest(dataclasses.replace(make_manifest([], name), is_search=True))
    url = f"sqlite:///{tmp_path}/search.db"
    export = ["export", name, "--store", str(store.path), "--optuna", url]
    assert tune_main.main(export) == 0
    proposals = search.record.proposals
    assert capsys.readouterr().out == f"{len(proposals)} proposals written to {url}\nnext: optuna-dashboard {url}\n"
    trials = optuna.load_study(study_name=name, storage=url).trials
    assert [trial.params for trial in trials] == [proposal.params for proposal in proposals]
    confirmed = [
        proposal.number for proposal, trial in zip(proposals, trials, strict=True) if CONFIRMED in trial.user_attrs
    ]
    assert {*confirmed} == {confirmation.number for confirmation in search.record.confirmations}
    for proposal, trial in zip(proposals, trials, strict=True):
        if proposal.is_trained:
            assert proposal.config is not None
            assert trial.user_attrs["test_error_percent"] == error(proposal.config, len(proposal.reports))
            assert trial.user_attrs.get("lr", trial.params.get("lr")) == proposal.config.lr
    assert f"{name!r}: give another file or database" in refused(export, capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--optuna", "sqlite:///here.db"), "export --optuna: 'plain' is no search, or has not begun: its Parquet"),
        (("--optuna", "sqlite:///here.db", "--to", "there"), "argument --to: not allowed with argument --optuna"),
        (("--optuna", ""), "argument --optuna: must not be empty"),
    ],
)
def test_a_plain_sweep_is_no_study(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore(tmp_path / "store")
    store.sweep_folder("plain").mkdir(parents=True)
    store.write_manifest(make_manifest([], "plain"))
    assert message in refused(["export", "plain", "--store", str(store.path), *options], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
