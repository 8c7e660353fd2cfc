"""Images per second against a tutorial's loop: `python benchmarks/training_speed.py [--rounds 5] [--quick]`.

Three ways to use two processor cores, in turn, at each batch size:

- conventional: one training as tutorials write it (benchmarks/conventional.py), two threads and two loader processes;
- two trials: two of our trainings at the same time in two processes of one thread each, as a sweep runs them; the
  sum of their rates, each measured while the other is surely at work;
- one trial: one of our trainings with two threads.

The processes live as long as the benchmark, so nobody's start-up counts. The conventional loop is timed over whole
steps once its loaders have filled their queues; ours over whole epochs, as a trial's records time them: with what
begins and ends an epoch, which is more than is counted against the conventional loop. The batch size of an
evaluation does not follow that of the training, so there is one figure for all.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks import conventional, harness
from benchmarks.crew import Crew, Window
from benchmarks.images import noise
from benchmarks.trial_process import LR, Load, TrialProcess

BATCH_SIZES = (8, 32, 128, 512, 2048)
QUICK_BATCH_SIZES = (16,)
EVALUATION = "evaluation"
CONVENTIONAL, TWO_TRIALS, ONE_TRIAL = WAYS = ("conventional", "two trials", "one trial")
WARM_UP_SHARE = 1 / 3
"""Share of a measurement's time, and one step at least, until the loaders have filled their queues."""
SCHEDULE_STEPS = 10**6


class MeasuredBatches:
    """A loader's batches for a while, again and again; a step ends when its loop asks for the next batch."""

    def __init__(self, loader: Iterable[Any], seconds: float) -> None:
        self._loader = loader
        self._seconds = seconds
        self._num_images = 0
        self._measured_seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        begun = time.perf_counter()
        started: float | None = None
        for batch in _repeated(self._loader):
            yield batch
            now = time.perf_counter()
            if started is not None:
                self._num_images += len(batch[1])
                self._measured_seconds = now - started
                if self._measured_seconds >= self._seconds:
                    return
            elif now - begun >= self._seconds * WARM_UP_SHARE:
                started = now

    @property
    def images_per_second(self) -> float:
        return self._num_images / self._measured_seconds


def _repeated(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


class ConventionalProcess:
    """The only member of a crew, which trains as tutorials do."""

    def __init__(self, window: Window, load: Load) -> None:
        multiprocessing.set_start_method("fork", force=True)  # for loaders: this process was spawned, a user's is not
        torch.set_num_threads(conventional.NUM_THREADS)
        self._load = load
        self._images = noise(*load.noise)
        self._learner = conventional.Conventional.build(load.model, self._images.num_classes, LR, SCHEDULE_STEPS)

    def training(self, batch_size: int) -> float:
        images, labels = self._images.train_images, self._images.train_labels
        batches = MeasuredBatches(conventional.train_loader(images, labels, batch_size), self._load.seconds)
        self._learner.train_epoch(batches)
        return batches.images_per_second

    def evaluation(self) -> float:
        loader = conventional.test_loader(self._images.test_images, self._images.test_labels)
        batches = MeasuredBatches(loader, self._load.seconds)
        self._learner.evaluate(batches)
        return batches.images_per_second


def measure(batch_sizes: tuple[int, ...], num_rounds: int, load: Load) -> dict[str, dict[str, list[float]]]:
    """Return images per second by batch size (or 'evaluation') and way, one figure for each round."""
    with (
        Crew(1, ConventionalProcess, load) as conventional,
        Crew(2, TrialProcess, 1, load) as two_trials,
        Crew(1, TrialProcess, 2, load) as one_trial,
    ):
        crews = {TWO_TRIALS: two_trials, ONE_TRIAL: one_trial}
        cases: dict[tuple[str, int], Callable[[], Any]] = {}
        for size in batch_sizes:
            cases[CONVENTIONAL, size] = partial(conventional.ask, "training", size)
            cases |= {(way, size): partial(crew.ask, "epochs", size) for way, crew in crews.items()}
        cases[CONVENTIONAL, 0] = partial(conventional.ask, EVALUATION)
        answers = harness.interleaved(num_rounds, cases)
    rates = {
        str(size): {CONVENTIONAL: [sum(answer) for answer in answers[CONVENTIONAL, size]]}
        | {way: [sum(member.training for member in answer) for answer in answers[way, size]] for way in crews}
        for size in batch_sizes
    }
    rates[EVALUATION] = {CONVENTIONAL: [sum(answer) for answer in answers[CONVENTIONAL, 0]]}
    for way in crews:
        rounds = zip(*(answers[way, size] for size in batch_sizes), strict=True)
        evaluations = [[sum(member.evaluation for member in answer) for answer in of_round] for of_round in rounds]
        rates[EVALUATION][way] = [statistics.fmean(by_size) for by_size in evaluations]
    return rates


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=5, quick="short measurements, to see that it works")
    arguments = parser.parse_args()
    load = Load(model="resnet_preact_8").quick() if arguments.quick else Load()
    busy_before = harness.busy_cores()
    rates = measure(QUICK_BATCH_SIZES if arguments.quick else BATCH_SIZES, arguments.rounds, load)
    report: dict[str, dict[str, Any]] = {}
    for name, ways in rates.items():
        report[name] = {way: harness.summary(values) for way, values in ways.items()}
        over_conventional = harness.ratios(ways[TWO_TRIALS], ways[CONVENTIONAL])
        report[name][f"{TWO_TRIALS} / {CONVENTIONAL}"] = harness.summary(over_conventional)
    harness.print_figures("images per second, median (least to most)", report)
    figures = {
        "model": load.model,
        "busy_cores_before": busy_before,
        "num_rounds": arguments.rounds,
        "seconds_a_measurement": load.seconds,
        "images_per_second": report,
    }
    command = f"python benchmarks/training_speed.py --rounds {arguments.rounds}"
    print(harness.write_report("training_speed", command, figures, arguments.to))


if __name__ == "__main__":
    main()
