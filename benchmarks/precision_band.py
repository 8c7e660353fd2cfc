"""How far bf16 is from fp32: `python benchmarks/precision_band.py --data DIR [--seeds 5]`.

The same trainings on real images in both formats, a pair a seed, two processes of one thread at a time:
ResNet-preact-8, 3,000 images, batch 128, lr 0.1 cosine, 5 epochs, tested on 2,000. The band is the 95 %
confidence interval of the mean paired difference (Student's t); the spread between seeds stands beside it.
"""

import dataclasses
import multiprocessing
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, write_report
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.data.sources import load_dataset

FORMATS = ("fp32", "bf16")
VALUES: dict[str, Callable[[dict[str, Any]], float]] = {
    "test_error_percent": lambda run: run["test_error_percent"],
    "final_train_loss": lambda run: run["train_losses"][-1],
}
CONFIG = TrainConfig(
    model="resnet_preact_8",
    epochs=5,
    batch_size=128,
    lr=0.1,
    train_subset=3000,
    test_subset=2000,
    augmentation="crop_flip",
)


def train(job: tuple[str, int, str]) -> dict[str, Any]:
    """Train a (data folder, seed, precision); return the final test error and the training loss of every epoch."""
    import torch

    from trainable.device import prepare_device
    from trainable.splits import prepare
    from trainable.training import Training

    folder, seed, precision = job
    device = prepare_device(1, use_gpu=False)
    data: ImageData = load_dataset("cifar10", Path(folder))
    config = dataclasses.replace(CONFIG, seed=seed, precision=precision).for_dataset(*data.identity)
    training = Training(config, prepare(data, config, device), torch.device("cpu"))
    records = [training.run_epoch(1).record for _ in range(config.epochs)]
    return {
        "seed": seed,
        "precision": precision,
        "test_error_percent": records[-1].test_error_percent,
        "train_losses": [record.train_loss for record in records],
    }


def band(differences: list[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean by Student's t."""
    from scipy import stats

    mean = statistics.mean(differences)
    half = stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    return mean - half, mean + half


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="real images in a layout that `run --data` takes"
    )
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    jobs = [(arguments.data, seed, precision) for seed in range(arguments.seeds) for precision in FORMATS]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        runs = pool.map(train, jobs, chunksize=1)
    figures: dict[str, dict[str, Any]] = {}
    for name, value in VALUES.items():
        values = {precision: [value(run) for run in runs if run["precision"] == precision] for precision in FORMATS}
        differences = [b - a for a, b in zip(values["fp32"], values["bf16"], strict=True)]
        low, high = band(differences)
        mean, between_seeds = statistics.mean(differences), statistics.stdev(values["fp32"])
        figures[name] = {**values, "mean_difference": mean, "interval_95": [low, high]}
        figures[name]["standard_deviation_between_seeds_fp32"] = between_seeds
        print(f"{name}: bf16 - fp32 {mean:+.3f} ({low:+.3f} to {high:+.3f}), between seeds {between_seeds:.3f}")
    command = f"python benchmarks/precision_band.py --data {Path(arguments.data).name}"
    print(write_report("precision_band", command, {"runs": runs, **figures}, arguments.to))


if __name__ == "__main__":
    main()
