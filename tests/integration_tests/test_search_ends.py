"""What `run` and `status` say of a search that is over, and how they exit; without Ray."""

from pathlib import Path

import pytest

import tune_main
from results.store.local_store import LocalStore
from sweep.search.search import Search
from tests.integration_tests.running_sweeps import search_on_digits
from tests.results_tests.result_samples import make_end, make_epoch, make_manifest, write_trial
from tests.sweep_tests.driven_searches import bowl, drive
from trainable.config import TrainConfig
from trainable.ledger.files import FINAL_STATE
from trainable.records import Status

COMMON = """
name: ended
defaults: {model: resnet_preact_8, epochs: 4, schedule: constant}
"""
IMPOSSIBLE = "search: {algorithm: random, num_trials: 2}\nparameters: {batch_size: {min: 1400, max: 1440}}\n"
PARTLY = "search: {algorithm: tpe, num_trials: 9}\nparameters: {batch_size: {values: [32, 1400]}}\n"
EXHAUSTED = "search: {algorithm: grid, num_trials: 60}\nparameters: {lr: {values: [0.1, 0.2, 0.3, 0.4]}}\n"
FRONT = """
search: {algorithm: random, num_trials: 12}
parameters: {batch_size: {min: 8, max: 64}}
objective: [{metric: holdout_error_percent}, {metric: train_seconds}]
"""
BRED = """
search: {algorithm: random, num_trials: 6}
parameters: {lr: {min: 0.01, max: 0.5}}
scheduler: {type: pbt, population: 2}
"""
Capture = pytest.CaptureFixture[str]


class Ended:
    """A store in which a search was driven to its end over made-up curves."""

    def __init__(self, folder: Path, text: str, capsys: Capture, *, diverges: bool = False) -> None:
        self.store = LocalStore(folder / "store")
        self.space = folder / "ended.yaml"
        self.space.write_text(COMMON + text)
        self._capsys = capsys
        self.search: Search = search_on_digits(self.space, self.store)
        drive(self.search, lambda config, epoch: None if diverges else bowl(config, epoch) + config.batch_size / 4)
        for proposal in self.search.record.proposals:
            if proposal.config is not None and proposal.is_trained and proposal.status is not None:
                self._write(proposal.config, len(proposal.reports), proposal.status)
        manifest = make_manifest([], "ended", is_search=True)
        with self.store.driving(manifest):
            pass

    def _write(self, config: TrainConfig, num_epochs: int, status: Status) -> None:
        epochs = [make_epoch(epoch, 9.0, holdout_error_percent=9.0) for epoch in range(1, num_epochs + 1)]
        write_trial(self.store, config, epochs, make_end(status, num_epochs))
        (self.store.trial_folder(config.trial_key) / FINAL_STATE).write_bytes(b"state")

    def run(self) -> tuple[int, str, str]:
        status = tune_main.main(["run", str(self.space), "--store", str(self.store.path)])
        return (status, *self._capsys.readouterr())

    def status(self) -> str:
        assert tune_main.main(["status", "ended", "--store", str(self.store.path)]) == 0
        return self._capsys.readouterr().out


def test_nothing_that_could_be_trained_is_one_line_and_no_success(tmp_path: Path, capsys: Capture) -> None:
    ended = Ended(tmp_path, IMPOSSIBLE, capsys)
    status, output, errors = ended.run()
    assert (status, output) == (1, "ended: a search of 0 trials on digits, 0 done, 0 to propose\n")
    assert errors.startswith("nothing could be trained: 20 proposals gave 0 different configurations, 2 asked for; ")
    assert "20 of 20 proposals were impossible, the last: batch_size 14" in errors
    assert errors.count("\n") == 1
    assert "  note     20 of 20 proposals were impossible, the last: batch_size 14" in ended.status()


def test_what_cannot_fit_the_data_is_refused_before_the_search_begins(tmp_path: Path, capsys: Capture) -> None:
    space = tmp_path / "ended.yaml"
    space.write_text(COMMON.replace("{model", "{dataset: digits, model") + PARTLY)
    assert tune_main.main(["run", str(space), "--store", str(tmp_path / "store")]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"batchscape: {space}:5: parameters.batch_size: batch_size 1400 is larger than ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "store" / "ended").exists()


def test_what_was_partly_impossible_is_done_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    ended = Ended(tmp_path, PARTLY, capsys)
    status, output, errors = ended.run()
    assert (status, errors) == (0, "")
    assert output.count("note: the space holds 1 different configuration, all were proposed: 9 asked for\n") == 1
    assert output.count("note: 1 of 2 proposals was impossible, the last: batch_size 1400 is larger than ") == 1
    assert "1 of 1 trial done" in output


def test_a_space_in_which_all_was_tried_is_done(tmp_path: Path, capsys: Capture) -> None:
    ended = Ended(tmp_path, EXHAUSTED, capsys)
    note = "the space holds 4 different configurations, all were proposed: 60 asked for"
    for _ in range(2):
        status, output, errors = ended.run()
        assert (status, errors, output.count(note)) == (0, "", 1)
        assert output.startswith("ended: a search of 4 trials on digits, 4 done, 0 to propose\n")
        assert "4 of 4 trials done" in output
    told = ended.status()
    assert f"  note     {note}\n" in told
    assert "  done     4 of 4 trials\n" in told
    assert "  left     0\n" in told


def test_a_search_that_only_diverged_says_what_to_do(tmp_path: Path, capsys: Capture) -> None:
    ended = Ended(tmp_path, EXHAUSTED, capsys, diverges=True)
    hint = "all 4 trials diverged, the smallest lr was 0.1: lower the range of lr (0.1 to 0.4), under another --name"
    status, output, errors = ended.run()
    assert (status, errors) == (0, "")
    assert f"note: {hint}\n" in output
    assert f"  note     {hint}\n" in ended.status()


def test_the_front_is_printed(tmp_path: Path, capsys: Capture) -> None:
    ended = Ended(tmp_path, FRONT, capsys)
    num = len(ended.search.best(99))
    assert num > 1
    output = ended.run()[1]
    assert "best: " not in output
    lines = [line for line in output.splitlines() if line.startswith("front: ")]
    assert len(lines) == min(num, 6)
    assert ended.status().count("  front    #") == min(num, 5)


def test_states_that_no_trial_continues_are_deleted_when_the_search_is_over(tmp_path: Path, capsys: Capture) -> None:
    ended = Ended(tmp_path, BRED, capsys)
    assert ended.run()[0] == 0
    latest = {
        proposal.config.trial_key for proposal in ended.search.record.proposals[-2:] if proposal.config is not None
    }
    assert {path.parent.name for path in ended.store.trials_folder.glob(f"*/{FINAL_STATE}")} == latest
