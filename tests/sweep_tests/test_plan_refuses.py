"""`plan` refuses what `run` refuses, in the same words, and counts what `run` would train."""

import dataclasses
from pathlib import Path

import pytest

import tune_main
from results.store.local_store import LocalStore
from search_spaces.expansion import tie_to_data
from sweep.plan.changes import with_earlier_trials
from tests.results_tests.result_samples import make_end, make_manifest, write_trial
from tests.search_spaces_tests.space_samples import expand_text
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.records import Status

GRID = "defaults: {model: resnet_preact_8, epochs: 1}\ngrid: {lr: [0.1, 0.2]}\n"
SEARCH = "search: {algorithm: random, num_trials: 2}\nparameters: {lr: {min: 0.1, max: 0.2}}\n"


def held(folder: Path, text: str) -> LocalStore:
    """A store that holds the finished trials of this space, as the sweep `mine`."""
    store = LocalStore(folder / "store")
    trials = tie_to_data(expand_text(folder, text).trials, *load_digits().identity)
    for trial in trials:
        write_trial(store, trial.config, [], make_end(Status.COMPLETE, 0))
    store.write_manifest(make_manifest([trial.config for trial in trials], "mine"))
    return store


def said(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> tuple[int, str]:
    status = tune_main.main([command, *arguments])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        pytest.param(GRID.replace(", 0.2", ""), (), "1 of its 2 trials is not among these", id="a value was removed"),
        pytest.param(SEARCH, ("--name", "new", "--extend"), "--extend: a search grows", id="a search is extended"),
        pytest.param(SEARCH, (), "is rows or a grid", id="a grid became a search"),
        pytest.param(
            f"name: trials\n{GRID}", (), "mine.yaml:1: name: 'trials' cannot name", id="a space named trials"
        ),
        pytest.param(f"name: published\n{GRID}", (), "means the published tables", id="a space named published"),
        pytest.param(GRID, ("--name", "a/b"), "--name: 'a/b' cannot name a sweep", id="a name with a slash"),
        pytest.param(GRID, ("--store", "/proc/x"), "cannot write to the store /proc/x", id="a store for nobody"),
        pytest.param(GRID, ("--set", "dataset=digit"), "no data set 'digit': did you mean", id="an unknown data set"),
    ],
)
def test_both_refuse_in_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, options: tuple[str, ...], words: str
) -> None:
    store = held(tmp_path, GRID)
    (tmp_path / "mine.yaml").write_text(text)
    arguments = (str(tmp_path / "mine.yaml"), "--store", str(store.path), *options)
    planned, run = said(capsys, "plan", *arguments), said(capsys, "run", *arguments)
    assert planned == run
    assert planned[0] == 2
    assert words in planned[1]


def test_plan_with_extend_counts_the_trials_of_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = held(tmp_path, GRID)
    (tmp_path / "mine.yaml").write_text(GRID.replace("0.2", "0.3"))
    assert tune_main.main(["plan", str(tmp_path / "mine.yaml"), "--store", str(store.path), "--extend"]) == 0
    out = capsys.readouterr().out
    assert "mine: 3 trials" in out
    assert "left   1 trial," in out


def test_a_trial_with_the_key_of_an_untidied_value_is_found_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    earlier = make_manifest([TrainConfig(lr=0.1 * 96 / 128), TrainConfig(lr=0.3)], "mine")
    store.write_manifest(earlier)
    space = make_manifest([TrainConfig(lr=0.075), TrainConfig(lr=0.3), TrainConfig(lr=0.5)], "mine")
    joined = with_earlier_trials(store, space, extend=False)
    assert joined.keys == [*earlier.keys, TrainConfig(lr=0.5).trial_key]
    assert with_earlier_trials(store, dataclasses.replace(space, name="new"), extend=False) == dataclasses.replace(
        space, name="new"
    )


def test_plan_says_that_this_machine_cannot_run_such_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(GRID)
    arguments = (str(tmp_path / "mine.yaml"), "--store", str(tmp_path / "store"), "--cpus-per-trial", "9999")
    assert tune_main.main(["plan", *arguments]) == 0
    planned = capsys.readouterr().out
    refusal = said(capsys, "run", *arguments)[1].removeprefix("batchscape: ").strip()
    assert f"  here   not possible ({refusal}): `run` needs a cluster" in planned
