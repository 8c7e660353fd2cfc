"""A sweep's results as Ray Tune itself keeps them: `python benchmarks/ray_store.py read DIR`.

The reference of benchmarks/store_scale.py. `make DIR RUN TRIALS EPOCHS` runs RUN trials without work, with Ray's
default loggers, that report the figures of an epoch of ours again and again; further trials are copies of these (hard
links), with an entry of their own in Ray's state file. `read` is the documented way back:
`Tuner.restore(...).get_results()`, which reads every epoch of every trial, and `get_dataframe()`.
"""

import copy
import dataclasses
import json
import logging
import os
import secrets
import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for setting in [name for name in os.environ if name.startswith("TUNE_")]:
    del os.environ[setting]  # settings of the caller: the reference is what Ray does by default
os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
}

import ray
from ray import tune
from ray.tune.experiment import Trial

NAME = "sweep"


def no_op(config: dict[str, Any], reports: list[dict[str, Any]]) -> None:
    """Report, and do nothing else."""
    for report in reports:
        tune.report(report)


def make(folder: Path, num_run: int, num_trials: int, num_epochs: int) -> None:
    """Run the first `num_run` trials and copy the others."""
    from benchmarks.finished_sweep import learning_rates, random_record
    from trainable.config import TrainConfig

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    random = Random(0)  # noqa: S311
    reports = [dataclasses.asdict(random_record(random, epoch)) for epoch in range(1, num_epochs + 1)]
    rates = learning_rates(min(num_run, num_trials))
    results = tune.Tuner(
        tune.with_parameters(no_op, reports=reports),
        param_space=TrainConfig(epochs=num_epochs).to_dict() | {"lr": tune.grid_search(rates)},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(name=NAME, storage_path=str(folder.absolute()), verbose=0),
    ).fit()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed")
    ray.shutdown()
    copy_trials(folder / NAME, num_trials)


def copy_trials(experiment: Path, num_trials: int) -> None:
    """Bring the experiment to `num_trials` trials by copying those that it has."""
    path = max(experiment.glob("experiment_state-*.json"))
    state = json.loads(path.read_text())
    originals = list(state["trial_data"])
    for number in range(len(originals), num_trials):
        fields, metadata = originals[number % len(originals)]
        trial = Trial.from_json_state(fields, stub=True)
        trial.restore_run_metadata(metadata)
        source = experiment / trial.storage.trial_dir_name
        trial.trial_id = f"copy_{number:05}"
        storage = copy.copy(trial.storage)
        storage.trial_dir_name = trial.trial_id
        trial.set_storage(storage)
        shutil.copytree(source, experiment / trial.trial_id, copy_function=os.link)
        state["trial_data"].append(trial.get_json_state())
    path.write_text(json.dumps(state))


def read(folder: Path) -> None:
    """Print the number of trials, and of the epochs of all of them."""
    results = tune.Tuner.restore(str(folder.absolute() / NAME), trainable=no_op).get_results()
    num_epochs = sum(len(result.metrics_dataframe) for result in results)
    print(json.dumps({"num_trials": len(results.get_dataframe()), "num_epochs": num_epochs}))


if __name__ == "__main__":
    action, path, *numbers = sys.argv[1:]
    if action == "make":
        make(Path(path), *map(int, numbers))
    else:
        read(Path(path))
