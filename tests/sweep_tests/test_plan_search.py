"""What `plan` says of a search: what it has done, and what it would train at most."""

from pathlib import Path

import pytest

import tune_main
from results.store.local_store import LocalStore
from sweep.estimate import forecast
from sweep.search.search import Search
from tests.integration_tests.running_sweeps import search_on_digits
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_end, make_epoch, write_trial
from tests.sweep_tests.driven_searches import drive
from tests.sweep_tests.estimate_samples import HERE
from trainable.records import Status

SPACE = """search: {algorithm: tpe, num_trials: 10}
defaults: {dataset: digits, model: resnet_preact_8, train_subset: 1000}
parameters:
  lr: {min: 0.01, max: 1.0}
  batch_size: {values: [16, 900]}
  epochs: {min: 2, max: 6}
confirm: {top: 2, repeats: 2}
"""


def planned(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, text: str = SPACE) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(text)
    assert tune_main.main(["plan", str(path), "--store", str(folder / "store"), *options]) == 0
    return capsys.readouterr().out.splitlines()


def test_epochs_and_images_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(tmp_path, capsys)
    assert lines[:3] == [
        "mine: a search of up to 10 trials on digits, which has not begun",
        f"  most   10 trials of 2 to 6 epochs: 60 epochs, {10 * 6 * 900:,} images",
        f"  then   up to 4 trials to confirm the best: 24 epochs, {4 * 6 * 1000:,} images",
    ]
    assert lines[3].startswith("  time   unknown: nothing was measured on ")
    assert len(lines) == 4
    assert not (tmp_path / "store").exists()


def test_no_more_are_confirmed_than_are_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(tmp_path, capsys, text=SPACE.replace("top: 2", "top: 100"))
    assert lines[2].startswith("  then   up to 20 trials to confirm the best: 120 epochs, ")


def test_set_fixes_a_parameter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(tmp_path, capsys, "--set", "epochs=3", "--verbose")
    assert lines[1].startswith("  most   10 trials of 3 epochs: 30 epochs, 27,000 images")
    assert "  lr               0.01 to 1" in lines
    assert not any(line.startswith("  epochs ") for line in lines)
    lines = planned(tmp_path, capsys, "--set", "epochs=3", text=SPACE + "scheduler: {type: asha}\n")
    assert lines[1].endswith("27,000 images if no trial is stopped early")


def test_a_batch_larger_than_the_data_is_reported_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE.replace("900", "901"))
    assert tune_main.main(["plan", str(path)]) == 2
    assert "batch_size 901 is larger than the 900 training images of 'digits'" in capsys.readouterr().err


BEGUN = """search: {algorithm: random, num_trials: 12}
defaults: {dataset: digits, model: resnet_preact_8, train_subset: 1000, epochs: 3}
parameters: {lr: {min: 0.01, max: 1.0}}
confirm: {top: 2, repeats: 2}
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def begun(store: LocalStore, tmp_path: Path) -> Search:
    """Nine of twelve trials are done, and an epoch of the tenth."""
    path = tmp_path / "mine.yaml"
    path.write_text(BEGUN)
    search = search_on_digits(path, store)
    drive(search, num_steps=9 * 3 + 1)
    config = search.record.proposals[9].config
    assert config is not None
    write_trial(store, config, [make_epoch(1, 50.0)])
    return search


@pytest.mark.usefixtures("begun")
def test_of_a_search_that_has_begun_what_is_left(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    lines = planned(tmp_path, capsys, text=BEGUN)
    assert lines[:4] == [
        "mine: a search of up to 12 trials on digits",
        f"  done   9, 1 to resume in {store.path}",
        f"  left   3 trials: 8 epochs, {8 * 900:,} images",
        f"  then   up to 4 trials to confirm the best: 12 epochs, {12 * 1000:,} images",
    ]
    more = planned(tmp_path, capsys, text=BEGUN.replace("12", "15"))
    assert more[2].startswith("  left   6 trials: 17 epochs, ")
    assert {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()} == before


def test_of_a_search_that_is_over_what_is_to_be_confirmed(
    begun: Search, store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive(search := search_on_digits(tmp_path / "mine.yaml", store))
    assert len(search.record.proposals) == len(begun.record.proposals) + 2
    whole = ["  left   0 trials", f"  then   4 of 4 trials to confirm the best: 12 epochs, {12 * 1000:,} images"]
    assert planned(tmp_path, capsys, text=BEGUN)[2:] == whole
    first, *others = [trial.config for trial in search.confirmations()]
    epochs = [make_epoch(epoch, 9.0) for epoch in (1, 2, 3)]
    write_trial(store, first, epochs, make_end(Status.COMPLETE, 3))
    write_trial(store, others[0], epochs[:1])
    lines = planned(tmp_path, capsys, text=BEGUN)
    assert lines[3] == f"  then   3 of 4 trials to confirm the best: 8 epochs, {8 * 1000:,} images"
    write_trial(store, others[0], epochs[1:], make_end(Status.COMPLETE, 3))
    for config in others[1:]:
        write_trial(store, config, epochs, make_end(Status.COMPLETE, 3))
    assert planned(tmp_path, capsys, text=BEGUN)[2:] == [
        "  left   0 trials",
        "  then   nothing: 4 trials have confirmed the best",
    ]


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("change", [("1.0", "2.0"), ("12", "8"), ("epochs: 3", "epochs: 4"), ("random", "tpe")])
def test_what_run_refuses_plan_refuses_in_the_same_words(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BEGUN.replace(*change))
    told = [refused([command, str(path), "--store", str(store.path)], capsys) for command in ("run", "plan")]
    assert told[0] == told[1]
    assert " was begun with " in told[0]
    assert planned(tmp_path, capsys, "--name", "other", text=path.read_text())[0].startswith(
        "other: a search of up to"
    )


@pytest.mark.parametrize(("kind", "brackets"), [("hyperband", ""), ("asha", ", brackets: 3")])
def test_brackets_that_would_stop_nothing_are_refused_until_the_search_has_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, brackets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = tmp_path / "mine.yaml", tmp_path / "store"
    path.write_text(f"{SPACE}scheduler: {{type: {kind}, grace_epochs: 3{brackets}}}\n")
    asked = ["plan", str(path), "--store", str(store), "--set", "epochs=4"]
    assert tune_main.main(asked) == 2
    assert capsys.readouterr().err.endswith(
        ": 3 brackets are too many for the 4 epochs of a trial: in the last of them nothing would be stopped; "
        "give brackets: 1\n"
    )
    monkeypatch.setattr("sweep.search.opening._has_begun", lambda store, name: True)
    assert tune_main.main(asked) == 0


@pytest.mark.usefixtures("begun")
def test_a_known_time_says_of_what_it_is(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "device_profile_here", lambda num_threads, **others: HERE)
    end = make_end(Status.COMPLETE, 1, test_correct_bits="ff" * 5)
    write_trial(store, make_config(epochs=1, batch_size=100), [make_epoch(1, 50.0)], end)
    lines = planned(tmp_path, capsys, text=BEGUN)
    what = "1 trial to resume and 2 trials drawn at random, without confirmation"
    assert lines[4] == f"  random {what}, would take:"
    assert lines[5].startswith("  time   ")
    assert "unknown" not in lines[5]
