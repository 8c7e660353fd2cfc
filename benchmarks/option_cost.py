"""What the options of a training step cost: `python benchmarks/option_cost.py [--rounds 5] [--noise-scale]`.

Processor time of ten steps of ResNet-preact-20 at batch 16 and 128 on noise of CIFAR-10's shape, one thread, bf16
where the processor computes in it, as a ratio to the same steps of SGD without options, all measured in turn.
`--noise-scale` measures only `noise_scale: true`, also at batch 1024, in fewer steps where they are long. One of them
takes a measurement, so that it stands out from the noise; the ratio is that of one in EVERY_STEPS.
"""

import functools
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.images import noise
from trainable import noise_scale
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
NOISE_SCALE = {DEFAULT: {}, "the same again": {}, "noise_scale": {"noise_scale": True}}
NUM_STEPS, BATCH_SIZES = 10, (16, 128)
NOISE_SCALE_STEPS = {16: 10, 128: 4, 1024: 2}
EVERY_STEPS = noise_scale.EVERY_STEPS


def measure(training: Training) -> float:
    """Train an epoch on data that are evaluated on one image; return its processor time in seconds."""
    noise_scale.EVERY_STEPS = training.steps_per_epoch
    started = time.process_time()
    training.run_epoch(1)
    return time.process_time() - started


def training_of(option: str, batch_size: int, num_steps: int) -> Training:
    """Prepare a training whose epochs have so many steps; the first ones, which are slow, are done."""
    device = prepare_device(1, use_gpu=False)
    changes = (OPTIONS | NOISE_SCALE)[option]
    values = {"lr": 1e-4, "epochs": 10**6, "batch_size": batch_size, "test_subset": 1, **changes}
    if option.startswith("ghost"):
        values["ghost_batch_size"] = batch_size // 4
    config = TrainConfig.from_dict(values)
    training = Training(config, prepare(noise(num_steps * batch_size), config, device), device)
    measure(training)
    return training


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=5)
    parser.add_argument("--noise-scale", action="store_true", help="measure only `noise_scale: true`")
    arguments = parser.parse_args()
    options, steps = OPTIONS, dict.fromkeys(BATCH_SIZES, NUM_STEPS)
    name, added = "option_cost", ""
    if arguments.noise_scale:
        options, steps = NOISE_SCALE, NOISE_SCALE_STEPS
        name, added = "noise_scale_cost", " --noise-scale"
    busy = harness.busy_cores()
    cases = {
        (size, option): functools.partial(measure, training_of(option, size, count))
        for size, count in steps.items()
        for option in options
    }
    seconds = harness.interleaved(arguments.rounds, cases)
    rows: dict[str, Any] = {}
    for (size, option), rounds in seconds.items():
        ratios = harness.ratios(rounds, seconds[size, DEFAULT])
        if arguments.noise_scale:
            ratios = [1 + (ratio - 1) * steps[size] / EVERY_STEPS for ratio in ratios]
        each = harness.summary([whole / steps[size] for whole in rounds])
        rows[f"batch {size}, {option}"] = {"seconds per step": each, "ratio": harness.summary(ratios)}
    harness.print_figures("processor time", rows)
    command = f"python benchmarks/option_cost.py --rounds {arguments.rounds}{added}"
    print(harness.write_report(name, command, {"busy_cores": busy, "cases": rows}, arguments.to))


if __name__ == "__main__":
    main()
