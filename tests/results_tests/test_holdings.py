"""What a run finds in the store: done, trained by other sweeps, begun, untouched."""

from pathlib import Path

from results.store.holdings import Holdings, holdings, holdings_text
from results.store.local_store import LocalStore
from tests.results_tests.result_samples import (
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from trainable.ledger.ledger import Ledger
from trainable.records import Status

EPOCHS = [make_epoch(1, 10.0), make_epoch(2, 9.0)]


def held(trained_by: dict[str | None, int], begun: int, untouched: int) -> Holdings:
    trials = make_manifest([make_config(seed=seed) for seed in range(begun + untouched)]).trials
    return Holdings("mine", trained_by, trials[:begun], trials[begun:], trials)


def test_left_is_what_has_no_final_result_in_whatever_sweep(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    configs = {status: make_config(epochs=2, seed=seed) for seed, status in enumerate(Status)}
    for status, config in configs.items():
        write_trial(store, config, EPOCHS, None if status is Status.INCOMPLETE else make_end(status, 2), "other")
    missing = make_config(epochs=2, seed=99)
    found = holdings(store, make_manifest([missing, *configs.values()], "new"))
    assert [trial.config for trial in found.left] == [missing, configs[Status.FAILED], configs[Status.INCOMPLETE]]
    assert [trial.config for trial in found.begun] == [configs[Status.FAILED], configs[Status.INCOMPLETE]]
    assert [trial.config for trial in found.untouched] == [missing]
    assert (found.done, found.trained_by) == (3, {"other": 3})
    assert holdings_text(found) == "3 reused (3 of other), 2 to resume, 1 to train"


def test_an_attempt_without_an_epoch_is_begun_and_a_bare_folder_is_not(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    begun, opened = make_config(seed=0), make_config(seed=1)
    write_trial(store, begun, [])
    Ledger(store.trial_folder(opened.trial_key), opened.to_dict()).close()
    found = holdings(store, make_manifest([begun, opened]))
    assert [trial.config for trial in found.begun] == [begun]
    assert [trial.config for trial in found.untouched] == [opened]


def test_a_trial_belongs_to_the_sweep_that_worked_last_on_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    config = make_config(epochs=2)
    write_trial(store, config, EPOCHS[:1], None, "first")
    with Ledger(store.trial_folder(config.trial_key), config.to_dict()) as ledger:
        ledger.begin(make_attempt(2, sweep="second"))
        ledger.append(EPOCHS[1])
        ledger.finish(make_end(Status.COMPLETE, 2))
    assert holdings(store, make_manifest([config])).trained_by == {"second": 1}


def test_nothing_of_other_sweeps_is_worded_as_ever() -> None:
    assert holdings_text(held({}, 0, 9)) == "0 done, 9 to train"
    assert holdings_text(held({"mine": 3, None: 1}, 0, 5)) == "4 done, 5 to train"
    assert holdings_text(held({"mine": 9}, 0, 0)) == "9 done, 0 to train"


def test_other_sweeps_are_named_by_their_share() -> None:
    trained_by: dict[str | None, int] = {"b": 1, "mine": 2, "quickstart": 3, None: 1}
    assert holdings_text(held(trained_by, 2, 3)) == (
        "3 done, 4 reused (3 of quickstart, 1 of b), 2 to resume, 3 to train"
    )
    assert holdings_text(held({"quickstart": 2}, 0, 0)) == "2 reused (2 of quickstart), 0 to train"


def test_many_sweeps_are_counted() -> None:
    trained_by: dict[str | None, int] = dict.fromkeys("edcba", 2)
    assert holdings_text(held(trained_by, 0, 0)) == "10 reused (2 of a, 2 of b, 2 of c, 4 of 2 more), 0 to train"
