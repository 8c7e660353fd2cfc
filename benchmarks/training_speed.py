"""Images per second against two other loops: `python benchmarks/training_speed.py [--rounds 4] [--quick]`.

What two processor cores do, in turn, at each batch size:

- conventional: one training as tutorials write it (benchmarks/conventional.py), two threads and two loader processes;
- two trials: two of our trainings at the same time in two processes of one thread each, as a sweep runs them; the
  sum of their rates, each measured while the other is surely at work;
- two strong loops: two trainings in the same way, as a performance engineer writes them (benchmarks/strong_loop.py);
- one trial: one of our trainings with two threads;
- convolutions alone: the network's convolutions and their gradients, nothing else, in two processes.

The processes live as long as the benchmark, so nobody's start-up counts. The conventional loop is timed over whole
steps once its loaders have filled their queues; the others over whole epochs, ours as a trial's records time them:
with what begins and ends an epoch. The batch size of an evaluation does not follow that of the training, so there is
one figure for all. Images per second of processor time, that of loader processes included, stand beside the images
per second: other processes of the machine disturb them less.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks import conventional, harness
from benchmarks.crew import Crew, Window
from benchmarks.images import noise
from benchmarks.machine_limit import BATCH_SIZES, LimitProcess
from benchmarks.strong_loop import Recipe, StrongLoop
from benchmarks.trial_process import LR, Load, TrialProcess, Work, measured, total
from trainable.device import builds_fused_kernel

QUICK_BATCH_SIZES = (16,)
EVALUATION = "evaluation"
CONVENTIONAL, TWO_TRIALS, STRONG, ONE_TRIAL, CONVOLUTIONS = WAYS = (
    *("conventional", "two trials", "two strong loops", "one trial", "convolutions alone"),
)
WALL, CPU = "images_per_second", "images_per_cpu_second"
WARM_UP_SHARE = 1 / 3
"""Share of a measurement's time, and one step at least, until the loaders have filled their queues."""
SCHEDULE_STEPS = 10**6

Answers = dict[str, dict[str, list[list[Work]]]]
"""What each member of a crew did, by row of the table, way and round."""


class MeasuredBatches:
    """A loader's batches for a while, again and again; a step ends when its loop asks for the next batch."""

    def __init__(self, loader: Iterable[Any], seconds: float) -> None:
        self._loader = loader
        self._seconds = seconds
        self.work = Work(0, 0.0, 0.0)
        """What was done once the loaders had filled their queues."""

    def __iter__(self) -> Iterator[Any]:
        begun = time.perf_counter()
        started: tuple[float, float] | None = None
        num_images = 0
        for batch in _repeated(self._loader):
            yield batch
            now = time.perf_counter()
            if started is not None:
                num_images += len(batch[1])
                if now - started[0] >= self._seconds:
                    self.work = Work(num_images, now - started[0], _cpu_seconds() - started[1])
                    return
            elif now - begun >= self._seconds * WARM_UP_SHARE:
                started = now, _cpu_seconds()


def _repeated(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its children that live (proc(5), /proc/PID/stat)."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


class ConventionalProcess:
    """The only member of a crew, which trains as tutorials do."""

    def __init__(self, window: Window, load: Load) -> None:
        multiprocessing.set_start_method("fork", force=True)  # for loaders: this process was spawned, a user's is not
        torch.set_num_threads(conventional.NUM_THREADS)
        self._load = load
        self._images = noise(*load.noise)
        self._learner = conventional.Conventional.build(load.model, self._images.num_classes, LR, SCHEDULE_STEPS)

    def training(self, batch_size: int) -> Work:
        images, labels = self._images.train_images, self._images.train_labels
        batches = MeasuredBatches(conventional.train_loader(images, labels, batch_size), self._load.seconds)
        self._learner.train_epoch(batches)
        return batches.work

    def evaluation(self) -> Work:
        loader = conventional.test_loader(self._images.test_images, self._images.test_labels)
        batches = MeasuredBatches(loader, self._load.seconds)
        self._learner.evaluate(batches)
        return batches.work


class BothProcess(LimitProcess):
    """A member of a crew that trains as we do and as a performance engineer does, on one thread."""

    def __init__(self, window: Window, load: Load) -> None:
        super().__init__(window, 1, load)
        self._loops: dict[int, StrongLoop] = {}

    def strong_training(self, batch_size: int) -> Work:
        loop = self._strong_loop(batch_size)
        num_steps = len(loop.labels) // batch_size
        num_images = num_steps * batch_size
        return measured(self.window, lambda: loop.train_epoch(num_steps), num_images, self.load.seconds)

    def strong_evaluation(self) -> Work:
        loop = next(iter(self._loops.values()))
        loop.evaluate()
        return measured(self.window, loop.evaluate, len(loop.test_labels), self.load.seconds)

    def _strong_loop(self, batch_size: int) -> StrongLoop:
        if batch_size not in self._loops:
            num_train, num_test = max(self.load.epoch_images, batch_size), self.load.test_images
            recipe = Recipe(self.load.model, batch_size, LR, num_train=num_train, num_test=num_test)
            self._loops[batch_size] = StrongLoop(recipe, self.images, self.device)
            self._loops[batch_size].train_epoch(1)  # also allocates memory and prepares the convolutions
        return self._loops[batch_size]


def measure(batch_sizes: tuple[int, ...], num_rounds: int, load: Load) -> tuple[Answers, str]:
    """Return what every way did by batch size (or 'evaluation'), and how our trainings were executed."""
    with (
        Crew(1, ConventionalProcess, load) as conventional,
        Crew(2, BothProcess, load) as two,
        Crew(1, TrialProcess, 2, load) as one,
    ):
        (execution, *_) = two.ask("execution")
        cases: dict[tuple[str, int], Callable[[], Any]] = {}
        for size in batch_sizes:
            cases[CONVENTIONAL, size] = partial(conventional.ask, "training", size)
            cases[TWO_TRIALS, size] = partial(two.ask, "epochs", size)
            cases[STRONG, size] = partial(two.ask, "strong_training", size)
            cases[CONVOLUTIONS, size] = partial(two.ask, "convolutions", size)
            cases[ONE_TRIAL, size] = partial(one.ask, "epochs", size)
        cases[CONVENTIONAL, 0] = partial(conventional.ask, "evaluation")
        cases[STRONG, 0] = partial(two.ask, "strong_evaluation")
        answers = harness.interleaved(num_rounds, cases)
    found: Answers = {str(size): {} for size in batch_sizes}
    found[EVALUATION] = {}
    for (way, size), rounds in answers.items():
        if way not in (TWO_TRIALS, ONE_TRIAL):
            found[str(size or EVALUATION)][way] = rounds
            continue
        found[str(size)][way] = [[trained for trained, _ in members] for members in rounds]
        evaluated = [[work for _, work in members] for members in rounds]
        others = found[EVALUATION].get(way, [[] for _ in rounds])
        found[EVALUATION][way] = [_together(*pair) for pair in zip(others, evaluated, strict=True)]
    return found, execution


def _together(members: list[Work], others: list[Work]) -> list[Work]:
    """Add what the same members did at different batch sizes."""
    return [one + other for one, other in zip(members, others, strict=True)] if members else others


def rates(rounds: Sequence[Sequence[Work]], kind: str) -> list[float]:
    """Return the images per second of all members together, or those per second of processor time, round by round."""
    if kind == WALL:
        return [sum(work.num_images / work.seconds for work in members) for members in rounds]
    return [total(members).num_images / total(members).cpu_seconds for members in rounds]


def table(answers: Answers, kind: str) -> dict[str, dict[str, Any]]:
    """Summarise the rates and the ratios of two trials to the other ways, row by row."""
    rows: dict[str, dict[str, Any]] = {}
    for name, ways in answers.items():
        found = {way: rates(ways[way], kind) for way in WAYS if way in ways}
        over = [way for way in (CONVENTIONAL, STRONG, CONVOLUTIONS) if way in found]
        ratios = {f"{TWO_TRIALS} / {way}": harness.ratios(found[TWO_TRIALS], found[way]) for way in over}
        rows[name] = {column: harness.summary(values) for column, values in (found | ratios).items()}
    return rows


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=4, quick="short measurements, to see that it works")
    arguments = parser.parse_args()
    load = Load(model="resnet_preact_8").quick() if arguments.quick else Load()
    load = replace(load, fused=builds_fused_kernel(print))
    busy_before = harness.busy_cores()
    sizes = QUICK_BATCH_SIZES if arguments.quick else BATCH_SIZES
    answers, execution = measure(sizes, arguments.rounds, load)
    report = {kind: table(answers, kind) for kind in (WALL, CPU)}
    for kind, rows in report.items():
        title = f"{kind.replace('_', ' ')}, median (least to most), our trials {execution}, {harness.processor()}"
        harness.print_figures(title, rows)
    figures = {
        "model": load.model,
        "execution": execution,
        "busy_cores_before": busy_before,
        "num_rounds": arguments.rounds,
        "seconds_a_measurement": load.seconds,
        **report,
    }
    command = f"python benchmarks/training_speed.py --rounds {arguments.rounds}"
    print(harness.write_report("training_speed", command, figures, arguments.to))


if __name__ == "__main__":
    main()
