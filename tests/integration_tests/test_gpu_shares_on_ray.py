"""Shares of a GPU on a Ray that was told of a GPU that does not exist: what is measured, reserved and printed."""

import contextlib
import json
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.processes import family, holder, kill
from tests.integration_tests.running_sweeps import (
    Start,
    end_of,
    epoch_lines,
    figures,
    trained_here,
    wait_for_epochs,
)
from trainable.config import TrainConfig
from trainable.ledger.files import LOCK
from trainable.ledger.reading import read_trial
from trainable.records import Status

pytestmark = [
    pytest.mark.ray,
    pytest.mark.faults,
    pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
]
SPACE = """
name: shared
defaults: {model: resnet_preact_8, epochs: 1, train_subset: 64, test_subset: 10, precision: fp32}
grid: {batch_size: [16, 32]}
resources: {cpus: 0.5, gpus: auto}
"""


def test_shares_are_measured_before_and_a_gpu_that_torch_does_not_find_is_reported(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps({"GPU": 1}))
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    ended = end_of(start(str(space), tmp_path / "store"))
    assert "measuring how many trials share a GPU: 2 configurations ...\n" in ended.stdout
    for batch_size in (16, 32):  # of whose memory nothing is known, so that they do not share
        assert f"  resnet_preact_8, batch size {batch_size}, fp32: gpus 1, " in ended.stdout
    assert ended.returncode == 1
    worker = f"the node {platform.node()} gave this trial 1 GPU, and its torch {torch.__version__}"
    reason = f"RuntimeError: {worker} finds none"
    assert ended.stderr.count(f"{reason}: install the CUDA build there\n") == 2


EACH_ALONE = "each resumes in a process of its own, to the figures of an uninterrupted training; none is blamed"
BESIDE = """
name: beside
defaults: {model: resnet_preact_8, epochs: 16, train_subset: 256, test_subset: 20, precision: fp32, batch_size: 32}
grid: {lr: [0.05, 0.1, 0.2, 0.4]}
resources: {cpus: 0.5}
"""
ON_STREAMS = f"""
import dataclasses, sys
sys.path.insert(0, {str(ROOT)!r})
from search_spaces.resources import ResourceRule
share = ResourceRule.share
ResourceRule.share = lambda *given, **named: dataclasses.replace(share(*given, **named), streams=True)
from cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""A driver whose trials train on streams; without a GPU these are only threads."""


@contextlib.contextmanager
def driver_of(space: Path, store: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", ON_STREAMS, "run", str(space), "--store", str(store), "--max-concurrent", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, process_group=0) as driver:
        try:
            yield driver
        finally:
            driver.kill()


def test_trials_beside_each_other_in_one_process_that_is_killed(tmp_path: Path) -> None:
    """Two runs: the first is stopped; in the second the process of two trials is killed, and each gets its own."""
    space, store = tmp_path / "beside.yaml", tmp_path / "store"
    space.write_text(BESIDE)
    with driver_of(space, store) as driver:
        wait_for_epochs(store, 4)
        driver.send_signal(signal.SIGINT)
        assert end_of(driver).returncode == 130
    before = epoch_lines(store)
    with driver_of(space, store) as driver:
        wait_for_epochs(store, 4, before)
        [host] = [pid for pid, title in family(driver.pid).items() if "TrialHost" in title]
        assert {holder(driver.pid, folder / LOCK) for folder in store.glob("trials/*")} <= {host, None}
        kill([host])
        ended = end_of(driver)
    assert ended.stderr == ""
    seen = dict.fromkeys(user_sees(ended.stdout))
    record("the process of several trials of a GPU is killed", seen, ended.returncode, EACH_ALONE)
    in_their_own = 0
    for folder in store.glob("trials/*"):
        trial = read_trial(folder)
        assert trial.end is not None
        assert trial.end.status is Status.COMPLETE
        executions = [attempt.execution for attempt in trial.attempts]
        assert executions[0] == "eager streams"
        in_their_own += executions.count("eager")
        assert figures(trial.epochs) == trained_here(TrainConfig.from_dict(trial.config), tmp_path / folder.name)
    assert in_their_own == 2
