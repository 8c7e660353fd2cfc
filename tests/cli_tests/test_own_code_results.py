"""What readers make of a sweep with an own model: names, columns, a space that runs again; none executes its file."""

import pickle
import sys
from pathlib import Path

import pytest
import yaml

import tune_main
from models.user_code import MODULE_PREFIX, UserCode
from results.parquet.collect import Collector
from results.parquet.files import read_trials, write_tables
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from search_spaces.expansion import Expansion, expand
from search_spaces.loader import load_space
from sweep.plan.changes import with_earlier_trials
from sweep.verification import verify
from tests.refusals import refused
from tests.results_tests.result_samples import make_end, make_epoch, write_trial
from trainable.errors import UserError
from trainable.records import Status
from trainable.session import RunInfo

NET = """open("executed", "w").close()
class SmallCNN:
    def __init__(self, num_classes, width=32, p=0.1): ...
def focal(logits, labels): ...
"""
SPACE = """defaults: {dataset: digits, epochs: 1, model: my_net.py:SmallCNN, loss: my_net.py:focal}
grid: {model_args: {p: [0.2], width: [8, 16]}}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """The sweep `my`, finished, in a store beside the space and its file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(NET)
    (tmp_path / "my.yaml").write_text(SPACE)
    store = LocalStore(tmp_path / "runs")
    manifest = manifest_of(planned())
    for trial, error in zip(manifest.trials, (20.0, 10.0), strict=True):
        write_trial(store, trial.config, [make_epoch(1, error)], make_end(Status.COMPLETE, 1), "my")
    with store.driving(manifest):
        write_tables(*Collector(store, manifest).tables(), store, "my")
    return store


def planned(path: str = "my.yaml") -> Expansion:
    return expand(load_space(path), {})


def manifest_of(expansion: Expansion) -> Manifest:
    return Manifest("my", expansion.trials, SPACE, {}, "c0de", sources=list(expansion.sources))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert tune_main.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_no_reader_executes_the_file(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(sys.modules)
    table = said(capsys, "table", "my")
    assert "| SmallCNN |" in table
    assert "| model_args.width |" in table
    assert "fingerprint" not in table
    assert "model_args.width=16: test error 10.00 %" in said(capsys, "status", "my")
    assert "done   2 in" in said(capsys, "plan", "my.yaml")
    for command in ("report my", "export my --to out", "list", "lint my", "verify", "spaces my.yaml", "best my"):
        said(capsys, *command.split())
    assert "no configuration of 'my' is in the published tables" in refused(["compare", "my"], capsys)
    assert not Path("executed").exists()
    assert not [name for name in sys.modules.keys() - before if name.startswith(MODULE_PREFIX)]


def test_best_is_a_space_that_finds_its_trial(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "best", "my", "--yaml")
    assert "# Put my_net.py beside this file, unchanged since that sweep." in text
    assert yaml.safe_load(text)["rows"] == [{"model_args.width": 16}]
    Path("best.yaml").write_text(text)
    assert "done   1, 1 reused (1 of my)" in said(capsys, "plan", "best.yaml")


def test_rows_hold_arguments_and_fingerprints(store: LocalStore) -> None:
    trials = trials_from_table(read_trials(store, "my"))
    assert [trial.config for trial in trials] == [trial.config for trial in planned().trials]
    assert trials[0].config.model_args == '{"p":0.2,"width":8}'


def test_the_store_keeps_the_source(store: LocalStore) -> None:
    assert store.manifest("my").sources == list(planned().sources)
    assert verify(store).findings == []
    manifest = store.path / "my" / "sweep.json"
    manifest.write_text(manifest.read_text().replace("width=32", "width=64"))
    assert [finding.path for finding in verify(store).findings] == ["my/sweep.json"]


def test_an_edited_file_makes_new_trials_and_its_old_source_stays(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    before = planned()
    (store.trial_folder(before.trials[0].config.trial_key) / "result.json").unlink()
    Path("my_net.py").write_text(NET + "# edited\n")
    after = with_earlier_trials(store, manifest_of(planned()), extend=True)
    note = (
        "note: my_net.py has changed since: 2 trials are of its earlier content (1 finished), and kept in the store\n"
    )
    assert capsys.readouterr().out == note
    assert len(after.trials) == 4
    assert after.sources == [*before.sources, *planned().sources]
    with pytest.raises(UserError, match="--extend"):
        with_earlier_trials(store, manifest_of(planned()), extend=False)
    assert capsys.readouterr().out == note


def test_an_import_that_is_missing_is_told_before_ray_starts(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my_net.py").write_text("from helper_x import act\n" + NET)
    told = "my_net.py:1: no module 'helper_x' can be imported here: install it, or put its code into my_net.py"
    assert told in refused(["run", "my.yaml", "--name", "new"], capsys)
    assert f"note: {told}" in said(capsys, "plan", "my.yaml", "--name", "new")


def test_trials_without_a_result_make_way_for_the_mended_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text("import no_such\n" + NET)
    Path("my.yaml").write_text(SPACE)
    store, broken = LocalStore(tmp_path / "runs"), manifest_of(planned())
    failed, unfinished = (trial.config for trial in broken.trials)
    write_trial(store, failed, [], make_end(Status.FAILED, 0), "my")
    with store.driving(broken):
        pass
    Path("my_net.py").write_text(NET)
    mended = manifest_of(planned())
    for extend in (False, True):
        after = with_earlier_trials(store, mended, extend=extend)
        assert after.trials == mended.trials
        note = "my_net.py has changed since: 2 trials without a result are dropped for those of its present content"
        assert capsys.readouterr().out == f"note: {note}\n"
    write_trial(store, unfinished, [make_epoch(1, 20.0)])
    with pytest.raises(UserError, match="1 of its 2 trials is not among these"):
        store.check_extends(mended)
    kept = with_earlier_trials(store, mended, extend=True)
    assert kept.trials == [broken.trials[1], *mended.trials]
    assert capsys.readouterr().out.splitlines() == [
        "note: my_net.py has changed since: 1 trial is of its earlier content (0 finished), and kept in the store",
        "note: my_net.py has changed since: 1 trial without a result is dropped for those of its present content",
    ]
    with store.driving(kept):
        assert store.manifest("my").trials == kept.trials


def test_sources_travel_to_the_workers(store: LocalStore) -> None:
    from trainable.trial_worker import TrialSetup

    sources = planned().sources
    setup = TrialSetup({}, store.trials_folder, RunInfo("run", 1, ""), "", sources=sources)
    assert pickle.loads(pickle.dumps(setup)).sources == sources == (UserCode("my_net.py:SmallCNN", NET),)  # noqa: S301
