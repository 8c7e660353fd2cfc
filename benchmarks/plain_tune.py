"""A sweep as a user writes it with Ray Tune alone: `python benchmarks/plain_tune.py SPACE DATA FILE 2`.

The reference of benchmarks/whole_sweep.py: the loop of benchmarks/conventional.py as a function trainable that
reports after every epoch, a grid search, one CPU for each trial, Ray's defaults otherwise. It saves no checkpoints
and keeps no record but Ray's own. The grid and the defaults are read from the same file as ours; the data set is
decoded once, by our reader, and shared through Ray's object store.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import tune

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.images import load_or_noise
from trainable.data.contract import ImageData


def train(config: dict[str, Any], data: ImageData) -> None:
    """Train one trial."""
    from benchmarks.conventional import Conventional, test_loader, train_loader

    num_train, num_test, epochs = config["train_subset"], config["test_subset"], config["epochs"]
    train_batches = train_loader(data.train_images[:num_train], data.train_labels[:num_train], config["batch_size"])
    test_batches = test_loader(data.test_images[:num_test], data.test_labels[:num_test])
    num_steps = epochs * len(train_batches)
    learner = Conventional.build(config["model"], data.num_classes, config["lr"], num_steps)
    for epoch in range(1, epochs + 1):
        train_loss, _ = learner.train_epoch(train_batches)
        _, test_accuracy = learner.evaluate(test_batches)
        tune.report({"train_loss": train_loss, "test_error_percent": 100 * (1 - test_accuracy), "epoch": epoch})


def main() -> None:
    """Run the sweep and write the last report of each trial to FILE, with at most 2 trials at a time."""
    space_path, data_folder, answer = map(Path, sys.argv[1:4])
    space = yaml.safe_load(space_path.read_text())
    grid = {name: tune.grid_search(values) for name, values in space["grid"].items()}
    ray.init()
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=load_or_noise(data_folder)), {"cpu": 1}),
        param_space=space["defaults"] | grid,
        tune_config=tune.TuneConfig(metric="test_error_percent", mode="min", max_concurrent_trials=int(sys.argv[4])),
        run_config=tune.RunConfig(name=space["name"], storage_path=str(answer.parent.absolute())),
    )
    results = tuner.fit()
    answer.write_text(json.dumps([result.metrics for result in results], default=str))


if __name__ == "__main__":
    main()
