"""A cluster of several nodes, each with its own network and disk: nodes die, nodes join, the results are exact.

The file of the model that is trained lies on the head's disk alone.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from results.parquet.collect import Collector
from results.store.local_store import LocalStore
from results.store.opening import open_store
from results.store.search_log import read_log
from results.store.store import Store
from search_spaces.expansion import expand, tie_to_data
from search_spaces.loader import load_space
from tests.conftest import ROOT
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.nodes import DASHBOARD_PORT, RAY, Node, Nodes, can_make_nodes, making_nodes
from tests.integration_tests.running_sweeps import MY_NET, figures, trained_here
from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.ledger.files import ATTEMPTS, CHECKPOINTS, EPOCHS
from trainable.ledger.reading import read_trial
from trainable.records import Status

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not can_make_nodes(), reason="needs root, and leave to make network and mount namespaces"),
]
PATIENCE_SECONDS = 240.0
DEFAULTS = "defaults: {model: %s:SmallCNN, epochs: 16, batch_size: 64, train_subset: 320, test_subset: 100, "
SWEEP = "name: spread\n" + DEFAULTS + "precision: fp32}\ngrid: {lr: [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8]}\n"
SEARCH = (
    "name: searched\n" + DEFAULTS + "precision: fp32}\nsearch: {algorithm: tpe, num_trials: 4}\n"
    "parameters: {lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}}\n"
)


@dataclass(frozen=True)
class Running:
    """The cluster, and where its sweeps are stored."""

    nodes: Nodes
    server: S3Server
    bucket: str
    folder: Path
    """Seen by all nodes."""

    @property
    def head(self) -> Node:
        return self.nodes.nodes[0]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`tune_main.py` on the head, which finds the cluster by RAY_ADDRESS."""
        command = [sys.executable, str(ROOT / "tune_main.py"), *arguments]
        return self.head.start("env", f"RAY_ADDRESS={self.nodes.address}", *command, output=subprocess.PIPE)


@dataclass(frozen=True)
class Ledger:
    """What a trial's folder in a store says while others write to it."""

    nodes: list[str]
    """The node of each attempt."""
    num_epochs: int
    has_checkpoint: bool

    def is_half_done_on(self, node: Node) -> bool:
        """Whether another node can be expected to resume it from a checkpoint."""
        return self.nodes == [node.address] and self.has_checkpoint and self.num_epochs <= 13


def ledgers(files: Mapping[str, bytes]) -> dict[str, Ledger]:
    """
    Args:
        files: of a store, by their paths in it.
    """
    found = {}
    for path, content in files.items():
        if path.startswith("trials/") and path.endswith(ATTEMPTS):
            lines = [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
            folder = path.removesuffix(ATTEMPTS)
            epochs = files.get(folder + EPOCHS, b"")
            has_checkpoint = any(folder + name in files for name in CHECKPOINTS)
            found[path.split("/")[1]] = Ledger([line["node"] for line in lines], epochs.count(b"\n"), has_checkpoint)
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in (ATTEMPTS, EPOCHS, *CHECKPOINTS)
        for path in folder.glob(f"trials/*/{name}")
    }


def wait_for(look: Callable[[], Any], driver: subprocess.Popen[str]) -> Any:  # noqa: ANN401 (what was looked for)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def ended(driver: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
    return driver.returncode, output, errors


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A head, which also takes jobs; the tests below add nodes, and kill them, in their order."""
    folder = tmp_path_factory.mktemp("server")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    with making_nodes(environment) as nodes:
        server = S3Server(folder, nodes.gateway)
        try:
            nodes.environment |= server.environment
            nodes.environment["PATH"] = f"{RAY.parent}:{environment['PATH']}"
            shared = nodes.disk.parent / "shared"
            shared.mkdir()
            net = shutil.copy(MY_NET, nodes.disk)  # where this process sees it, and of the nodes the head alone
            (shared / "sweep.yaml").write_text(SWEEP % net)
            (shared / "search.yaml").write_text(SEARCH % net)
            nodes.add(head_options=("--dashboard-host", "0.0.0.0", "--dashboard-port", str(DASHBOARD_PORT)))  # noqa: S104
            assert nodes.nodes[0].run("cp", str(MY_NET), str(net)).returncode == 0
            nodes.add()
            yield Running(nodes, server, server.new_bucket(), shared)
        finally:
            server.stop()


def planned(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, TrainConfig]:
    data = load_digits()
    trials = expand(load_space(str(path)), overrides or {}).trials
    tied = tie_to_data(trials, data.name, data.fingerprint, len(data.train_labels), len(data.test_labels))
    return {trial.config.trial_key: trial.config for trial in tied}


def check_attempts(store: Store, dead: Node, lost: set[str]) -> set[str | None]:
    """Trials of the dead node went on elsewhere, the rest was undisturbed; returns the nodes that worked."""
    workers: set[str | None] = set()
    for name in store.trial_names():
        trial = read_trial(store.trial_folder(name))
        places = [attempt.node for attempt in trial.attempts]
        workers |= set(places)
        if name in lost:
            assert places[0] == dead.address
            assert places[1] != dead.address
            assert len(places) == 2
            assert {record.attempt for record in trial.epochs} == {1, 2}, "it began again"
        else:
            assert len(places) == 1
    return workers


def node_of(store: Store, key: str) -> str | None:
    """The node that ended the trial."""
    return read_trial(store.trial_folder(key)).attempts[-1].node


@pytest.mark.parametrize("wrong", ["-uRAY_AUTH_TOKEN", "RAY_AUTH_MODE=disabled", "RAY_AUTH_TOKEN=of-another"])
def test_a_cluster_that_demands_its_token(wrong: str, running: Running) -> None:
    space, store = running.folder / "sweep.yaml", running.folder / "refused"
    command = ["run", str(space), "--store", str(store), "--address", running.nodes.address]
    driver = running.head.start(
        "env", wrong, sys.executable, str(ROOT / "tune_main.py"), *command, output=subprocess.PIPE
    )
    status, _, errors = ended(driver)
    record("a cluster's token is missing or wrong", user_sees(errors), status, "nothing is trained")
    assert not list(store.glob("trials/*/epochs.jsonl"))


def test_a_store_that_a_node_does_not_see_is_refused_before_anything_is_trained(running: Running) -> None:
    store = running.nodes.disk / "store"  # of the head alone, whatever lies at that path elsewhere
    status, output, errors = ended(running.start("run", str(running.folder / "sweep.yaml"), "--store", str(store)))
    assert status == 2
    other = running.nodes.nodes[1].address
    assert errors == (
        f"batchscape: the node {other} does not see the store's {store}/trials: "
        "give --store s3://BUCKET/PREFIX, or a folder that all nodes share\n"
    )
    assert "8 to train" in output


def test_three_nodes_one_is_killed_one_joins_late(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = running.nodes.nodes[1]
    running.nodes.add()
    space, uri = running.folder / "sweep.yaml", f"s3://{running.bucket}/store"
    driver = running.start("run", str(space), "--store", uri, "--min-nodes", "3")

    def half_done_on_the_doomed() -> set[str]:
        found = ledgers(running.server.files(f"{running.bucket}/store"))
        return {key for key, trial in found.items() if trial.is_half_done_on(doomed)}

    lost = wait_for(half_done_on_the_doomed, driver)
    doomed.kill()
    late = running.nodes.add()
    status, output, errors = ended(driver)
    assert (status, errors) == (0, "")
    assert "8 of 8 trials done" in output

    for name, value in running.server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))
    store = open_store(uri)
    store.all_trials()
    workers = check_attempts(store, doomed, lost)
    assert workers == {node.address for node in running.nodes.nodes}
    assert late.address in workers

    configs = planned(space)
    trials, epochs = Collector(store, store.manifest("spread")).tables()
    assert sorted(trials["trial_key"].to_pylist()) == sorted(configs)
    assert set(trials["status"].to_pylist()) == {Status.COMPLETE}
    assert len(epochs) == sum(config.epochs for config in configs.values())
    used_late = next(key for key in configs if node_of(store, key) == late.address)
    for key in (*lost, used_late):
        uninterrupted = trained_here(configs[key], tmp_path / "here" / key)
        rows = [row for row in epochs.to_pylist() if row["trial_key"] == key]
        assert [{name: row[name] for name in uninterrupted[0]} for row in rows] == uninterrupted


@pytest.mark.faults
def test_two_nodes_a_search_one_is_killed(running: Running, tmp_path: Path) -> None:
    *_, doomed, idle = running.nodes.nodes
    idle.kill()
    store = LocalStore(running.folder / "store")
    driver = running.start("run", str(running.folder / "search.yaml"), "--store", str(store.path))

    def half_done_on_the_doomed() -> set[str]:
        found = ledgers(files_in(store.path))
        return {key for key, trial in found.items() if trial.is_half_done_on(doomed)}

    lost = wait_for(half_done_on_the_doomed, driver)
    doomed.kill()
    status, output, errors = ended(driver)
    assert (status, errors) == (0, "")
    assert "4 of 4 trials done" in output
    assert check_attempts(store, doomed, lost) == {running.head.address, doomed.address}
    proposals = read_log(store.search_log("searched")).proposals
    assert [proposal.status for proposal in proposals] == [Status.COMPLETE] * 4
    for key in lost:
        trial = read_trial(store.trial_folder(key))
        assert figures(trial.epochs) == trained_here(TrainConfig.from_dict(trial.config), tmp_path / key)


def test_a_driver_inside_a_job(running: Running) -> None:
    """`ray job submit` sets the checkout as its working_dir; workers get ours nevertheless."""
    job = ["--address", f"http://{running.head.address}:{DASHBOARD_PORT}", "--working-dir", str(ROOT)]
    store = running.folder / "of_job"
    command = ["python", "tune_main.py", "run", str(running.folder / "sweep.yaml"), "--store", str(store)]
    submitted = running.head.start(
        str(RAY), "job", "submit", *job, "--", *command, "--set", "epochs=1", output=subprocess.PIPE
    )
    status, output, errors = ended(submitted)
    assert status == 0, output + errors
    assert "8 of 8 trials done" in output
    assert "succeeded" in output
    keys = planned(running.folder / "sweep.yaml", {"epochs": 1})
    assert {node_of(LocalStore(store), key) for key in keys} <= {node.address for node in running.nodes.nodes}
