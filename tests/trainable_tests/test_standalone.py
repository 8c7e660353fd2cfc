"""One training in this process, under a progress bar."""

import io
from pathlib import Path

import pytest
from rich.console import Console

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


def test_a_trial_at_work_is_a_users_mistake(short_config: TrainConfig, tiny_data: ImageData, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    message = f"another process is already training {short_config.trial_key}"
    with Ledger(tmp_path, short_config.to_dict()), pytest.raises(UserError, match=message):
        train(short_config, tiny_data, tmp_path, 1, console)
