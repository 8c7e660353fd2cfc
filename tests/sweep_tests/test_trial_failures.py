"""What is reported of a trial whose process cannot report. (Ray's own words: test_out_of_memory.py.)"""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

from results.store.local_store import LocalStore
from sweep.driver.callbacks import PROCESS_DIED, ObserverCallback, failure_details, failure_reason
from sweep.driver.stop_request import StopRequest
from tests.results_tests.result_samples import make_config
from trainable.ledger.reading import read_trial
from trainable.records import Status
from trainable.session import RunInfo
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import SHARE, TRIAL_KEY

DIED = "Failure # 1 (occurred at 2026-01-01)\nThe actor is dead because its worker process has died. Exit type: X\n"
RAISED = (
    "Failure # 2 (occurred at 2026-01-02)\n\x1b[36mray::ImplicitFunc.train()\x1b[39m (pid=1)\n"
    "  File x.py, line 1\nRuntimeError: this worker runs other code\n"
)


def trial_of(path: Path, text: str) -> SimpleNamespace:
    path.write_text(text)
    return SimpleNamespace(error_file=str(path))


def test_a_death_is_reported_in_our_words_and_an_exception_in_its_own(tmp_path: Path) -> None:
    assert failure_reason(trial_of(tmp_path / "error.txt", DIED)) == PROCESS_DIED
    assert (
        failure_reason(trial_of(tmp_path / "error.txt", DIED + RAISED)) == "RuntimeError: this worker runs other code"
    )
    assert failure_reason(trial_of(tmp_path / "error.txt", RAISED + DIED)) == PROCESS_DIED


def test_a_process_that_was_ended_because_it_did_not_move_says_so(tmp_path: Path) -> None:
    config = make_config()
    supervision = MagicMock(ended={"key": "it did not move"})
    setup = TrialSetup({"key": config}, tmp_path, RunInfo("run", 1, ""), "")
    callback = ObserverCallback([], setup, LocalStore(tmp_path), StopRequest(), None, supervision)
    trial = trial_of(tmp_path / "error.txt", DIED)
    trial.config = {TRIAL_KEY: "key", SHARE: {}}
    callback.on_trial_error(0, [trial], trial)
    end = read_trial(tmp_path / "key").end
    assert end is not None
    assert (end.status, end.error) == (Status.FAILED, "it did not move")


def test_the_log_gets_all_of_it_without_colours(tmp_path: Path) -> None:
    details = failure_details(trial_of(tmp_path / "error.txt", DIED + RAISED))
    assert details.startswith(f"told by Ray, in the driver:\n{DIED}")
    assert "\nray::ImplicitFunc.train() (pid=1)\n" in details


def test_where_ray_says_nothing() -> None:
    for trial in (SimpleNamespace(error_file=None), SimpleNamespace(error_file="/no/such/file")):
        assert failure_reason(trial) == PROCESS_DIED
        assert PROCESS_DIED in failure_details(trial)


def test_a_trial_whose_host_died_gets_a_process_of_its_own_and_no_blame(tmp_path: Path) -> None:
    """One that fails by itself stays, as does one that has a process of its own."""
    setup = TrialSetup({}, tmp_path, RunInfo("run", 1, ""), "")
    callback = ObserverCallback([], setup, LocalStore(tmp_path), StopRequest(), None)
    for text, streams, expected in ((DIED, True, (False, 0)), (RAISED, True, (True, 1)), (DIED, False, (False, 1))):
        trial = trial_of(tmp_path / "error.txt", text)
        trial.config = {TRIAL_KEY: "key", SHARE: {"cpus": 1.0, "gpus": 0.25, "streams": streams}}
        trial.run_metadata = SimpleNamespace(num_failures=1)
        callback.on_trial_recover(0, [trial], trial)
        assert (trial.config[SHARE]["streams"], trial.run_metadata.num_failures) == expected
