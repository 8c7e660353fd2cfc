"""What checkpoints cost a training: `python benchmarks/checkpoint_cost.py [--seconds 30]`.

With `--weights` instead what the weights of a completed trial cost: made, checked and written once, median of 20.

One training as a worker does it (ResNet-preact-20 on the embedded digits, one thread), with the rule and the writer
of every sweep: checksum, fsync, atomic replacement. The share is the time spent in checkpoints over the time from the
first epoch to the last; the target is at most 2 %.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, write_report
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.device import prepare_device
from trainable.ledger.files import CHECKPOINTS, WEIGHTS
from trainable.ledger.ledger import Ledger
from trainable.saved_weights import saved_weights
from trainable.session import CHECKPOINT_SHARE, RunInfo, TrialSession
from trainable.splits import prepare
from trainable.training import Training


class TimedSession(TrialSession):
    """A session that notes what its checkpoints cost, and changes nothing else."""

    checkpoint_seconds: list[float]
    rule_seconds = 0.0
    """Time spent in the rule, whether it wrote a checkpoint or not."""

    def _checkpoint_when_due(self, training: Training) -> None:
        started, last = time.perf_counter(), self._checkpointed_at
        super()._checkpoint_when_due(training)
        seconds = time.perf_counter() - started
        self.rule_seconds += seconds
        if self._checkpointed_at != last:
            self.checkpoint_seconds.append(seconds)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one training's checkpoints."""

    seconds: list[float]
    """Time of each checkpoint: the state's bytes are made, checked and written."""
    share: float
    training_seconds: float
    num_epochs: int
    file_bytes: int


def measure(folder: Path, seconds: float, model: str = "resnet_preact_20") -> Cost:
    """Train for some seconds, with checkpoints in an empty folder on the disk that is measured."""
    device = prepare_device(1, use_gpu=False)
    data = load_digits()
    config = TrainConfig(
        model=model, epochs=10_000, batch_size=32, train_subset=128, test_subset=32, precision="fp32"
    )
    config = config.for_dataset(*data.identity)
    session = TimedSession(config, prepare(data, config, device), folder, device, RunInfo("run", 1, "code"))
    session.checkpoint_seconds = []
    session.next_epoch()  # torch's first steps are slow: they would make the share look small
    started, before = time.perf_counter(), session.rule_seconds
    while time.perf_counter() - started < seconds:
        session.next_epoch()
    elapsed = time.perf_counter() - started
    share, num_epochs = (session.rule_seconds - before) / elapsed, session.epochs_reported
    sizes = [path.stat().st_size for name in CHECKPOINTS if (path := folder / name).exists()]
    session.close()
    return Cost(session.checkpoint_seconds, share, elapsed, num_epochs, max(sizes, default=0))


def weights_cost(folder: Path, model: str, rounds: int = 20) -> tuple[list[float], int]:
    """Return the milliseconds of writing the weights of a network, one for each round, and the bytes of the file."""
    device = prepare_device(1, use_gpu=False)
    data = load_digits()
    config = TrainConfig(model=model, epochs=1, train_subset=128, test_subset=32, precision="fp32")
    training = Training(config.for_dataset(*data.identity), prepare(data, config, device), device)
    milliseconds = []
    with Ledger(folder, training.config.to_dict()) as ledger:
        for _ in range(rounds):
            started = time.perf_counter()
            ledger.save_weights(saved_weights(training, None))
            milliseconds.append(1000 * (time.perf_counter() - started))
    return milliseconds, (folder / WEIGHTS).stat().st_size


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--weights", action="store_true", help="measure the weights of a completed trial instead")
    arguments = parser.parse_args()
    if arguments.weights:
        found = {}
        for model in ("resnet_preact_20", "resnet_preact_110"):
            with tempfile.TemporaryDirectory() as folder:
                times, size = weights_cost(Path(folder) / "trial", model)
            found[model] = {"milliseconds": times, "file_bytes": size}
            print(f"{model}: {statistics.median(times):.1f} ms for {size / 1e6:.2f} MB")
        command = "python benchmarks/checkpoint_cost.py --weights"
        print(write_report("weights_cost", command, {"models": found}, arguments.to))
        return
    with tempfile.TemporaryDirectory() as folder:
        cost = measure(Path(folder) / "trial", arguments.seconds)
    print(
        f"{len(cost.seconds)} checkpoints of {cost.file_bytes / 1e6:.2f} MB, median "
        f"{1000 * statistics.median(cost.seconds):.1f} ms: {100 * cost.share:.2f} % of {cost.training_seconds:.0f} s "
        f"({cost.num_epochs} epochs); target {100 * CHECKPOINT_SHARE:g} %"
    )
    print(write_report("checkpoint_cost", "python benchmarks/checkpoint_cost.py", asdict(cost), arguments.to))


if __name__ == "__main__":
    main()
