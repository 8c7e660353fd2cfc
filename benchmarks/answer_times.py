"""How long the light commands take to answer: `python benchmarks/answer_times.py [--rounds 7]`.

Whole processes, in turn, from their start to their end: commands that look at the committed example sweep, and `run`
on a sweep that is finished. None of them loads torch or Ray. To add a command, add a case to `cases`.
"""

import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.finished_sweep import write_finished_sweep
from benchmarks.harness import ROOT, interleaved, option_parser, print_figures, summary, write_report

EXAMPLES = "results/examples"
NUM_TRIALS = 100
REFUSED = [
    ["run", "quickstart", "--cpus-per-trial", "4096"],
    ["run", "quickstart", "--gpus-per-trial", "4096"],
    ["run", "quickstart", "--store", "Makefile/store"],
    ["run", "quickstart", "--store", "nosuch://bucket"],
    ["run", "quickstart", "--name", "../up"],
    ["run", "quickstart", "--address", "ray://head:10001"],
    ["run", "quickstart", "--address", "127.0.0.1:1"],
    ["run", "quickstart", "--store", "/proc/store"],
    ["run", "quickstart", "--store", "gs://bucket"],
    ["run", "quickstart", "--min-nodes", "2"],
    ["run", "quickstart", "--compile"],
    ["run", "cifar10_smoke", "--set", "batch_size=60000"],
    ["train", "resnet_preact_8", "--compile"],
    ["train", "resnet_preact_8", "--store", "/proc/store"],
    ["report", "quickstart", "--to", "Makefile"],
    ["plot", "quickstart", "--to", "/proc/figures", "--store", EXAMPLES],
    ["plot", "quickstart", "--figure", "nosuch", "--store", EXAMPLES],
]
"""Commands that are refused before Ray is started or a data set is loaded."""


@dataclass(frozen=True, slots=True)
class Case:
    """A command and how it ends."""

    arguments: list[str]
    exit_code: int = 0
    is_cut: bool = False
    """Whether only the time to the first line counts; the process is killed then."""


def cases(folder: Path) -> dict[str, Case]:
    """Name the commands that are measured; the empty folder is for the stores that they need."""
    return {
        "--help": Case(["--help"]),
        "spaces": Case(["spaces"]),
        "spaces quickstart": Case(["spaces", "quickstart"]),
        "table quickstart": Case(["table", "quickstart", "--store", EXAMPLES]),
        "run quickstart, first line": first_line(folder, "quickstart"),
        "run a search, first line": first_line(folder, "lr_batch_tpe_asha", "--scale", "smoke"),
        "list": Case(["list", "--store", EXAMPLES]),
        "best quickstart": Case(["best", "quickstart", "--store", EXAMPLES]),
        f"run, {NUM_TRIALS} trials done": Case(write_finished_sweep(folder, NUM_TRIALS)),
        **{f"refused: {' '.join(arguments)}": Case(arguments, exit_code=2) for arguments in REFUSED},
    }


def first_line(folder: Path, *space: str) -> Case:
    """Time only the first line of a run that would train, and kill it then."""
    return Case(["run", *space, "--store", str(folder / space[0])], exit_code=-signal.SIGKILL, is_cut=True)


def answer_seconds(case: Case) -> float:
    """Time one process; exit with its output where its exit code is not the expected one."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "tune_main.py"), *case.arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = process.stdout.readline() if case.is_cut and process.stdout else ""
    seconds = time.perf_counter() - started
    if case.is_cut:
        process.kill()
    rest = process.communicate()[0]
    if process.returncode != case.exit_code:
        raise SystemExit(f"{first}{rest}\n{' '.join(command)} ended with {process.returncode}")
    return seconds if case.is_cut else time.perf_counter() - started


def main() -> None:
    arguments = option_parser(__doc__, rounds=7).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = cases(Path(folder))
        times = interleaved(
            arguments.rounds, {name: partial(answer_seconds, case) for name, case in commands.items()}
        )
    print_figures("median (least to most)", {name: {"seconds": summary(rounds)} for name, rounds in times.items()})
    print(write_report("answer_times", "python benchmarks/answer_times.py", {"seconds": times}, arguments.to))


if __name__ == "__main__":
    main()
