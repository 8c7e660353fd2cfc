"""What `serve` costs: `python benchmarks/serving.py [--rounds 3] [--pages 300] [--quick]`.

A store of 1,000 trials of 50 epochs (written by the ledger itself), and a server as a user starts it. First answers
are timed on one connection after the other. Then a made-up driver trains the last trials of the sweep: two processes,
each of which computes for a fixed number of steps, appends an epoch to a ledger, and so on. That is timed without a
server, with one that nobody asks, and with open pages that ask as often as the server lets them; the pages are made
up as well, in a process of the lowest priority. CPU-seconds are those of the server's process. Memory is the server's
peak of what is resident (VmHWM, proc(5)).
"""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.finished_sweep import FILLED_SWEEP, TIME, fill_store, random_record
from results.store.local_store import LocalStore
from trainable import provenance
from trainable.ledger.ledger import Ledger
from trainable.records import Attempt, Status, TrialEnd
from trainable.wording import counted

NUM_TRIALS, NUM_EPOCHS = 1000, 50
TRAINED = 40
"""Number of trials that the made-up driver trains."""
WORKERS = 2
STEPS = 200_000
"""Number of additions that stand for the training of an epoch."""
ANSWERS = 200
PAGE = f"/1/{FILLED_SWEEP}/"
NO_SERVER = "no server"


@dataclass(frozen=True, slots=True)
class Server:
    """A running `serve`."""

    process: subprocess.Popen[str]
    port: int

    @property
    def cpu_seconds(self) -> float:
        """CPU-seconds of its process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_bytes(self) -> int:
        """Peak of its resident memory so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@dataclass(frozen=True, slots=True)
class Case:
    """What one run of the made-up sweep took, and the server beside it."""

    seconds: float
    cpu_seconds: float
    """CPU-seconds of the sweep's workers."""
    server_cpu_seconds: float
    peak_bytes: int
    """Peak of the server's resident memory."""


@contextlib.contextmanager
def serving(store: Path) -> Iterator[Server]:
    """Serve a store in a child process."""
    command = [sys.executable, "tune_main.py", "serve", "--store", str(store), "--port", "0"]
    with subprocess.Popen(command, cwd=harness.ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Server(process, int(line.split()[1].rpartition(":")[2].strip("/")))
        finally:
            process.kill()


def answer_seconds(server: Server, path: str, number: int) -> tuple[list[float], bytes]:
    """Ask for a path again and again on one connection; return the seconds of each answer, and the last one."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    seconds, body = [], b""
    for _ in range(number):
        started = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        seconds.append(time.perf_counter() - started)
        if answer.status not in (200, 204):
            raise SystemExit(f"{path}: {answer.status} {body.decode()}")
    connection.close()
    return seconds, body


def measure_answers(store: Path) -> dict[str, Any]:
    """Return seconds and bytes of each kind of answer, and the server's memory afterwards."""
    rows: dict[str, Any] = {}
    with serving(store) as server:
        first, body = answer_seconds(server, f"{PAGE}data", 1)
        version = json.loads(body)["live"]["version"]
        rows["first data"] = {"seconds": first[0], "bytes": len(body)}
        paths = {"all data": f"{PAGE}data", "nothing new": f"{PAGE}data?after={version}", "page": PAGE, "list": "/"}
        for name, path in paths.items():
            seconds, body = answer_seconds(server, path, ANSWERS)
            rows[name] = {"seconds": statistics.median(seconds), "bytes": len(body)}
        return {"answers": rows, "peak bytes": server.peak_bytes}


def train(store: LocalStore, keys: list[str], steps: int) -> None:
    """Write the ledgers of these trials, epoch by epoch, each after some computation."""
    attempt = Attempt(1, TIME, "run", "", "made up", 1, "fp32", provenance.versions(), "", sweep=FILLED_SWEEP)
    configs = {trial.config.trial_key: trial.config for trial in store.manifest(FILLED_SWEEP).trials}
    for key in keys:
        config, random = configs[key], Random(key)  # noqa: S311
        with Ledger(store.trial_folder(key), config.to_dict()) as ledger:
            ledger.begin(replace(attempt, run_id="made-up"))
            for epoch in range(1, config.epochs + 1):
                sum(range(steps))
                sum(number * number for number in range(steps))
                ledger.append(random_record(random, epoch))
            ledger.finish(TrialEnd(Status.COMPLETE, config.epochs, TIME, "made-up", test_correct_bits="00"))


def sweep_seconds(folder: Path, keys: list[str], steps: int) -> tuple[float, float]:
    """Forget the last trials, train them again as a driver with workers; return seconds and CPU-seconds."""
    store = LocalStore(folder)
    for key in keys:
        shutil.rmtree(store.trial_folder(key), ignore_errors=True)
    with store.driving(store.manifest(FILLED_SWEEP), "made-up"):
        started = time.perf_counter()
        workers = []
        for number in range(WORKERS):
            pid = os.fork()
            if not pid:
                train(store, keys[number::WORKERS], steps)
                os._exit(0)
            workers.append(pid)
        cpu_seconds = 0.0
        for pid in workers:
            _, status, usage = os.wait4(pid, 0)
            cpu_seconds += usage.ru_utime + usage.ru_stime
            if status:
                raise SystemExit("a made-up worker failed")
        return time.perf_counter() - started, cpu_seconds


async def look(port: int) -> None:
    """Be an open page: ask for what changed, and wait as long as the server says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    version = ""
    while True:
        request = f"GET {PAGE}data?after={version} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        writer.write(request.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
        body = await reader.readexactly(int(headers.get("Content-Length", 0)))
        if body:
            version = body[:200].partition(b'"version":"')[2].partition(b'"')[0].decode()
        await asyncio.sleep(float(headers["Next-Poll"]))


async def look_all(port: int, number: int) -> None:
    """Be many open pages."""
    await asyncio.gather(*(look(port) for _ in range(number)))


@contextlib.contextmanager
def open_pages(port: int, number: int) -> Iterator[None]:
    """Keep pages open in a child process of the lowest priority, once all of them have the whole data."""
    command = ["nice", "-n", "19", sys.executable, __file__, "--be-pages", str(port), str(number)]
    with subprocess.Popen(command, cwd=harness.ROOT) as process:
        time.sleep(1 + number / 30)
        try:
            yield
        finally:
            process.kill()


def measure_slowdown(folder: Path, pages: list[int], num_rounds: int, keys: list[str], steps: int) -> dict[str, Any]:
    """Time the made-up sweep in every case, in turn."""

    def measure(number: int | None) -> Case:
        if number is None:
            return Case(*sweep_seconds(folder, keys, steps), 0.0, 0)
        with serving(folder) as server:
            if number:
                answer_seconds(server, f"{PAGE}data", 1)  # the first reading of all trials is timed above
            with open_pages(server.port, number) if number else contextlib.nullcontext():
                before = server.cpu_seconds
                seconds = sweep_seconds(folder, keys, steps)
                return Case(*seconds, server.cpu_seconds - before, server.peak_bytes)

    names: dict[str, int | None] = {NO_SERVER: None} | {counted(number, "page"): number for number in pages}
    cases = {name: (lambda number=number: measure(number)) for name, number in names.items()}
    found = harness.interleaved(num_rounds, cases)
    return {
        name: {
            "seconds": harness.summary([case.seconds for case in rounds]),
            "CPU-seconds of the sweep": harness.summary([case.cpu_seconds for case in rounds]),
            "CPU-seconds of the server": harness.summary([case.server_cpu_seconds for case in rounds]),
            "server / sweep": harness.summary([case.server_cpu_seconds / case.cpu_seconds for case in rounds]),
            "peak bytes": max(case.peak_bytes for case in rounds),
        }
        for name, rounds in found.items()
    }


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=3, quick="few trials and pages, to see that it works")
    parser.add_argument("--pages", type=int, default=300, metavar="N", help="default: 300")
    parser.add_argument("--be-pages", type=int, nargs=2, metavar=("PORT", "N"), help="be open pages, until killed")
    arguments = parser.parse_args()
    if arguments.be_pages:
        asyncio.run(look_all(*arguments.be_pages))
    num_trials, num_epochs, steps = (30, 5, 1000) if arguments.quick else (NUM_TRIALS, NUM_EPOCHS, STEPS)
    num_rounds, num_pages = (1, 5) if arguments.quick else (arguments.rounds, arguments.pages)
    busy_before = harness.busy_cores()
    with tempfile.TemporaryDirectory() as name:
        store = LocalStore(Path(name) / "store")
        fill_store(store, num_trials, num_epochs, "made-up")
        keys = store.manifest(FILLED_SWEEP).keys[-min(TRAINED, num_trials // 2) :]
        answers = measure_answers(store.path)
        slowdown = measure_slowdown(store.path, [0, 1, num_pages], num_rounds, keys, steps)
    harness.print_figures("answers", answers["answers"])
    harness.print_figures("a sweep meanwhile: median (least to most)", slowdown)
    report = {
        "num_trials": num_trials,
        "num_epochs": num_epochs,
        "num_trained": len(keys),
        "num_rounds": num_rounds,
        "busy_cores_before": busy_before,
        **answers,
        "slowdown": slowdown,
    }
    print(harness.write_report("serving", "python benchmarks/serving.py", report, arguments.to))


if __name__ == "__main__":
    main()
