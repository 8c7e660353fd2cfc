"""What a model of one's own costs against the same built in: `python benchmarks/own_model.py [--rounds 5]`.

ResNet-preact-20 as benchmarks/plain_resnet_preact.py, in processor seconds for each image of a training epoch, one
thread, both in turn: with layers that are all known, and under torch.autocast, as if one were not.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.harness import interleaved, option_parser, print_figures, ratios, summary, write_report
from benchmarks.images import noise
from models.own_model import Traits
from models.user_code import UserCode, provide
from trainable import training
from trainable.canonical import MAX_COUNT
from trainable.config import TrainConfig
from trainable.device import prepare_device
from trainable.splits import prepare

CODE = UserCode(
    "plain_resnet_preact.py:PlainResNetPreact", (Path(__file__).parent / "plain_resnet_preact.py").read_text()
)
BUILT_IN, OWN, AUTOCAST = "built in", "own", "own, autocast"
BATCH_SIZES = (32, 128)
NUM_IMAGES = 512


def epoch(case: str, batch_size: int) -> Callable[[], float]:
    """Return a function that trains one epoch and returns its processor seconds for each image."""
    fields = {"train_subset": NUM_IMAGES, "test_subset": 2, "epochs": MAX_COUNT, "batch_size": batch_size, "lr": 0.01}
    own = {"model": CODE.reference, "model_fingerprint": CODE.fingerprint}
    config = TrainConfig.from_dict(fields if case == BUILT_IN else fields | own)
    device = torch.device("cpu")
    found = Traits(autocast="asked for") if case == AUTOCAST else Traits()
    with mock.patch.object(training, "traits", lambda *_: found):
        made = training.Training(config, prepare(noise(), config, device), device)
    made.run_epoch(1)

    def measure() -> float:
        started = time.process_time()
        made.run_epoch(1)
        return (time.process_time() - started) / NUM_IMAGES

    return measure


def main() -> None:
    arguments = option_parser(__doc__, rounds=5).parse_args()
    prepare_device(1, use_gpu=False)
    provide([CODE])
    names = (BUILT_IN, OWN, AUTOCAST)
    answers = interleaved(
        arguments.rounds, {(name, size): epoch(name, size) for size in BATCH_SIZES for name in names}
    )
    report = {
        f"batch {size}": {
            f"{name} / {BUILT_IN}": summary(ratios(answers[name, size], answers[BUILT_IN, size]))
            for name in (OWN, AUTOCAST)
        }
        for size in BATCH_SIZES
    }
    print_figures("processor seconds, median (least to most)", report)
    print(write_report("own_model", "python benchmarks/own_model.py", {"ratios": report}, arguments.to))


if __name__ == "__main__":
    main()
