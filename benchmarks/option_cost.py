"""What the options of a training step cost: `python benchmarks/option_cost.py [--rounds 5]`.

Processor time of ten steps of ResNet-preact-20 at batch 16 and 128 on noise of CIFAR-10's shape, one thread, bf16
where the processor computes in it, as a ratio to the same steps of SGD without options, all measured in turn.
"""

import functools
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.images import noise
from trainable.config import TrainConfig
from trainable.device import prepare_device
from trainable.splits import prepare
from trainable.training import Training

DEFAULT = "sgd"
OPTIONS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "the same again": {},
    "lars": {"optimizer": "lars"},
    "adamw": {"optimizer": "adamw"},
    "muon": {"optimizer": "muon"},
    "weight_decay_on no_bn": {"weight_decay_on": "no_bn"},
    "clip_grad_norm": {"clip_grad_norm": 1.0},
    "label_smoothing": {"label_smoothing": 0.1},
    "ghost_batch_size, a quarter": {},
    "cutout_size": {"cutout_size": 16},
    "mixup_alpha": {"mixup_alpha": 0.2},
}
NUM_STEPS, BATCH_SIZES = 10, (16, 128)


def measure(training: Training) -> float:
    """Train an epoch on data that are evaluated on one image; return its processor time in seconds."""
    started = time.process_time()
    training.run_epoch(1)
    return time.process_time() - started


def training_of(option: str, batch_size: int) -> Training:
    """Prepare a training whose epochs have NUM_STEPS steps; the first ones, which are slow, are done."""
    device = prepare_device(1, use_gpu=False)
    values = {"lr": 1e-4, "epochs": 10**6, "batch_size": batch_size, "test_subset": 1, **OPTIONS[option]}
    if option.startswith("ghost"):
        values["ghost_batch_size"] = batch_size // 4
    config = TrainConfig.from_dict(values)
    training = Training(config, prepare(noise(NUM_STEPS * batch_size), config, device), device)
    training.run_epoch(1)
    return training


def main() -> None:
    arguments = harness.option_parser(__doc__, rounds=5).parse_args()
    busy = harness.busy_cores()
    cases = {
        (size, option): functools.partial(measure, training_of(option, size))
        for size in BATCH_SIZES
        for option in OPTIONS
    }
    seconds = harness.interleaved(arguments.rounds, cases)
    rows: dict[str, Any] = {}
    for (size, option), rounds in seconds.items():
        ratio = harness.summary(harness.ratios(rounds, seconds[size, DEFAULT]))
        each = harness.summary([whole / NUM_STEPS for whole in rounds])
        rows[f"batch {size}, {option}"] = {"seconds per step": each, "ratio": ratio}
    harness.print_figures("processor time", rows)
    command = f"python benchmarks/option_cost.py --rounds {arguments.rounds}"
    print(harness.write_report("option_cost", command, {"busy_cores": busy, "cases": rows}, arguments.to))


if __name__ == "__main__":
    main()
