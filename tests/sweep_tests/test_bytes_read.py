"""What counts trials does not read the epochs of those that have ended, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from sweep.plan.counts import plan_counts
from sweep.status.status import sweep_status
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.records import Status

COUNTERS = Path("/proc/self/io")
FEW, MANY = 20, 2000
NUM_TRIALS = 3
Look = Callable[[LocalStore, Manifest], object]


def status(store: LocalStore, manifest: Manifest) -> None:
    assert sweep_status(store, manifest).done == len(manifest.trials)


def plan(store: LocalStore, manifest: Manifest) -> None:
    configs = [make_config(seed=trial.config.seed, epochs=trial.config.epochs) for trial in manifest.trials]
    untied = [type(config).from_dict({**config.to_dict(), "dataset_fingerprint": ""}) for config in configs]
    assert plan_counts(store, untied, (1442, 355)).done == len(manifest.trials)


def export(store: LocalStore, manifest: Manifest) -> None:
    assert Collector(store, manifest).tables()[0].num_rows == len(manifest.trials)


def sample(folder: Path, num_epochs: int, num_trials: int = NUM_TRIALS) -> tuple[LocalStore, Manifest]:
    """Trials that have ended; the epochs alone are larger in one sample than in another."""
    store = LocalStore(folder)
    configs = [make_config(seed=seed) for seed in range(num_trials)]
    for config in configs:
        epochs = [make_epoch(number, 10.0) for number in range(1, num_epochs + 1)]
        write_trial(store, config, epochs, make_end(Status.COMPLETE, num_epochs))
    return store, make_manifest(configs)


def bytes_read(look: Look, store: LocalStore, manifest: Manifest) -> int:
    """Bytes that this process asks the kernel for (proc(5), rchar) while it looks for the second time."""
    if not COUNTERS.exists():
        pytest.skip("this kernel does not count what a process reads")
    look(store, manifest)

    def counted() -> int:
        return int(COUNTERS.read_text().split()[1])

    before = counted()
    look(store, manifest)
    return counted() - before


@pytest.mark.parametrize("look", [status, plan])
def test_counting_costs_the_same_for_any_number_of_epochs(tmp_path: Path, look: Look) -> None:
    few = bytes_read(look, *sample(tmp_path / "few", FEW))
    many = bytes_read(look, *sample(tmp_path / "many", MANY))
    assert abs(many - few) < 100 * NUM_TRIALS  # the numbers in the files have more digits


def test_the_meter_sees_epochs_that_are_read(tmp_path: Path) -> None:
    store, manifest = sample(tmp_path, MANY)
    num_bytes = sum(path.stat().st_size for path in store.trials_folder.rglob("epochs.jsonl"))
    assert bytes_read(export, store, manifest) > num_bytes > 100_000 * NUM_TRIALS


@pytest.mark.parametrize("look", [status, plan, export])
def test_twice_the_trials_are_twice_the_bytes(tmp_path: Path, look: Look) -> None:
    once = bytes_read(look, *sample(tmp_path / "once", FEW, 10))
    twice = bytes_read(look, *sample(tmp_path / "twice", FEW, 20))
    assert twice == pytest.approx(2 * once, rel=0.05)


def test_ended_trials_are_read_once_by_a_collector(tmp_path: Path) -> None:
    store, manifest = sample(tmp_path, MANY)
    collector = Collector(store, manifest)
    assert bytes_read(lambda store, manifest: collector.tables(), store, manifest) < 1000
