"""The pages of docs/ that are made from the code are what the code says, and an example in them works."""

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from docs.generate import DOCS, PAGES
from models.user_code import provide
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from search_spaces.schema import SchedulerSpec
from tests.sweep_tests.driven_searches import NUMBERS, active_among, epoch_record, make_trial, settings
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.records import EpochRecord
from trainable.splits import prepare
from trainable.training import Training


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page: str) -> None:
    """`python docs/generate.py` writes them."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert importlib.import_module(PAGES[page]).refresh(text) == text


def test_the_example_of_own_code_trains(tmp_path: Path) -> None:
    code, space = re.findall(r"```\w+\n(.*?)```", (DOCS / "own-code.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_net.py").write_text(code)
    (tmp_path / "my_net.yaml").write_text(space)
    expansion = expand(load_space(str(tmp_path / "my_net.yaml")), {}, None)
    provide(expansion.sources)
    data, cpu = load_digits(), torch.device("cpu")
    config = dataclasses.replace(expansion.trials[0].config, train_subset=32, test_subset=32, epochs=1)
    config = config.for_dataset(*data.identity)
    training = Training(config, prepare(data, config, cpu), cpu)
    assert len(expansion.trials) == 4
    assert training.execution.autocast is None
    assert training.run_epoch(1).record.test_error_percent is not None


def test_the_example_of_a_search_without_ray_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: TrainConfig) -> Iterator[EpochRecord]:
        yield from (epoch_record(epoch, 100 * config.lr) for epoch in range(1, 5))

    monkeypatch.chdir(tmp_path)
    text = (DOCS / "search.md").read_text(encoding="utf-8").split("## From Python, without Ray")[1]
    scheduler = SchedulerSpec(type="asha", reduction_factor=2)
    given = dataclasses.replace(settings("random", NUMBERS, 8), scheduler=scheduler)
    names = {"settings": given, "make_trial": make_trial, "is_active": active_among(NUMBERS), "train": train}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)  # noqa: S102 (our own page)
    log = (tmp_path / "search.jsonl").read_text()
    assert all(f'"status":"{status}"' in log for status in ("COMPLETE", "STOPPED"))
