"""One training in this process, under a progress bar."""

import dataclasses
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import tune_main
from results.store.local_store import LocalStore
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.errors import UserError
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial
from trainable.records import Status
from trainable.standalone import train


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line for line in console.file.getvalue().splitlines() if line.startswith("epoch")]


def test_trains_to_the_end_with_a_line_an_epoch_and_then_replays(
    short_config: TrainConfig, tiny_data: ImageData, tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=200)
    assert train(short_config, tiny_data, tmp_path / "trial", 1, console) is Status.COMPLETE
    assert [line.split()[1] for line in lines(console)] == ["1/4", "2/4", "3/4", "4/4"]
    assert "COMPLETE" in lines(console)[-1]
    assert len(read_trial(tmp_path / "trial").epochs) == 4
    again = Console(file=io.StringIO(), width=200)
    assert train(short_config, tiny_data, tmp_path / "trial", 1, again) is Status.COMPLETE
    assert all("from the store" in line for line in lines(again))
    assert len(lines(again)) == 4


def test_a_long_epoch_is_seen_in_an_output_without_a_bar(
    short_config: TrainConfig, tiny_data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainable.standalone.LINE_SECONDS", 0.0)
    console = Console(file=io.StringIO(), width=200)
    train(short_config, tiny_data, tmp_path / "trial", 1, console)
    assert [line for line in lines(console) if "step" in line] == [
        f"epoch {epoch}/4  step {step}/2" for epoch in range(1, 5) for step in (1, 2)
    ]
    terminal = Console(file=io.StringIO(), width=200, force_terminal=True)
    train(dataclasses.replace(short_config, seed=1), tiny_data, tmp_path / "other", 1, terminal)
    assert "step 1/" not in str(lines(terminal))


def test_idle_processors_are_used_and_a_resumed_training_keeps_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = []

    def train(config: TrainConfig, data: object, folder: object, num_threads: int, *rest: object) -> Status:
        used.append(num_threads)
        return Status.COMPLETE

    monkeypatch.setattr("trainable.standalone.train", train)
    monkeypatch.setattr("trainable.processors.idle_processors", lambda: 3)
    monkeypatch.setattr("trainable.processors.usable_processors", lambda: 4)
    command = ["train", "resnet_preact_8", "--set", "dataset=digits", "--store", str(tmp_path)]
    assert tune_main.main(command) == 0
    for before in (2, 8):
        summary = SimpleNamespace(attempts=[SimpleNamespace(num_threads=before)])
        monkeypatch.setattr(LocalStore, "summaries", lambda store, keys, begun=summary: dict.fromkeys(keys, begun))
        assert tune_main.main(command) == 0
    with ThreadPoolExecutor(1) as notebook:  # whose cells may run outside of the main thread
        assert notebook.submit(tune_main.main, [*command, "--threads", "7"]).result() == 0
    assert used == [3, 2, 4, 7]
    assert capsys.readouterr().out.startswith("resnet_preact_8 on digits: 200 epochs with 3 threads\n")


def test_a_trial_at_work_is_a_users_mistake(short_config: TrainConfig, tiny_data: ImageData, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    message = f"another process is already training {short_config.trial_key}"
    with Ledger(tmp_path, short_config.to_dict()), pytest.raises(UserError, match=message):
        train(short_config, tiny_data, tmp_path, 1, console)
