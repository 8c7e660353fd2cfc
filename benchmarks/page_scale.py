"""How usable the report of many trials is: `python benchmarks/page_scale.py [--rounds 5] [--quick]`.

The tables of a random search of 5,000 trials x 200 epochs over six parameters are made up (no training) and become a
report as `report` makes it. A headless Chromium opens the file, in a tab of its own each round. Measured is the time
until the page stands and has answered, and that from an act to the end of the next frame but one, in which all views
stand: a header of the table is pressed, a rectangle is dragged over half of the scatter plot, the metric is changed.

Needs playwright (tests/requirements.txt) and a Chromium on PATH. `chrt -r 1 python ...` measures on a busy machine.
"""

import json
import math
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.browser import running_browser
from benchmarks.finished_sweep import TIME, random_record
from results.parquet.collect import epoch_rows, trial_row
from results.parquet.schema import EPOCHS_SCHEMA, METADATA_PREFIX, SEARCH_METADATA, TRIALS_SCHEMA
from results.report.files import HTML, report_texts
from results.report.page_data import page_data, page_json
from results.store.search_log import ProposalRecord
from trainable import provenance
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import Attempt, EpochRecord, Purpose, Status, TrialEnd, TrialFiles, TrialKey

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NUM_TRIALS, NUM_EPOCHS = 5000, 200
LIMITS = {"load": 3000, "sort": 200, "brush": 200, "metric": 200}
"""Milliseconds that each act may take."""
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
ACTS = {
    "sort": """document.querySelector('th[data-name="lr"] button').click()""",
    "metric": """const list = document.querySelector("#explorer .bar select");
      list.value = "test_error_percent"; list.dispatchEvent(new Event("change"))""",
    "brush": """const box = document.querySelector(".view.scatter .plot").getBoundingClientRect();
      for (const [type, x, y] of [["down", 0.3, 0.2], ["move", 0.6, 0.6], ["up", 0.7, 0.9]])
        document.querySelector(".view.scatter .plot canvas").dispatchEvent(new PointerEvent(`pointer${type}`,
          {bubbles: true, clientX: box.x + x * box.width, clientY: box.y + y * box.height}))""",
}
SWEEP = "many"
PARAMETERS: dict[str, dict[str, Any]] = {
    "lr": {"kind": "float", "low": 0.001, "high": 3.0, "step": None, "log": True},
    "weight_decay": {"kind": "float", "low": 1e-6, "high": 1e-2, "step": None, "log": True},
    "momentum": {"kind": "float", "low": 0.5, "high": 0.99, "step": None, "log": False},
    "label_smoothing": {"kind": "float", "low": 0.01, "high": 0.2, "step": None, "log": False},
    "batch_size": {"kind": "categorical", "choices": [64, 128, 256, 512]},
    "schedule": {"kind": "categorical", "choices": ["constant", "cosine", "linear"]},
}
SETTINGS = {
    "algorithm": "random",
    "seed": 0,
    "warm_start": None,
    "parameters": PARAMETERS,
    "objective": [{"metric": "holdout_error_percent", "goal": "minimize"}],
    "scheduler": {"type": "none"},
    "confirm": None,
    "trial": {},
}


def tables(num_trials: int, num_epochs: int) -> tuple[pa.Table, pa.Table]:
    """Return `trials` and `epochs` of a search whose parameters are drawn at random; one trial in 50 diverges."""
    random = Random(0)  # noqa: S311
    attempt = Attempt(1, TIME, "run", "host", "cpu", 1, "fp32", provenance.versions(), "code", sweep=SWEEP)
    rows, batches = [], []
    for number in range(num_trials):
        params = {name: _drawn(random, spec) for name, spec in PARAMETERS.items()}
        config = TrainConfig(**params, epochs=num_epochs, holdout=0.1, seed=number, dataset_fingerprint="0" * 16)
        diverges = number % 50 == 7
        length = max(1, num_epochs // 10) if diverges else num_epochs
        epochs = [_epoch(random, config, epoch) for epoch in range(1, length + 1)]
        status = Status.DIVERGED if diverges else Status.COMPLETE
        end = TrialEnd(status, length, TIME, "run", error="loss is not finite" if diverges else None)
        error = epochs[-1].holdout_error_percent
        values = None if diverges or error is None else (error,)
        proposal = ProposalRecord(number, params, config, {}, None, None, status=status, values=values)
        trial = PlannedTrial(config, 0, {}, Purpose.SEARCH, number)
        identity = TrialKey(SWEEP, config.trial_key, superseded=False, generation=1)
        files = TrialFiles(config.to_dict(), epochs, [attempt], end)
        rows.append(asdict(config) | asdict(trial_row(identity, trial, files, proposal)))
        batches.append(epoch_rows(identity, epochs))
    metadata = {
        f"{METADATA_PREFIX}sweep": SWEEP,
        f"{METADATA_PREFIX}num_planned": str(num_trials),
        SEARCH_METADATA: json.dumps({**SETTINGS, "num_trials": num_trials}),
    }
    return (
        pa.Table.from_pylist(rows, schema=TRIALS_SCHEMA.with_metadata(metadata)),
        pa.Table.from_batches(batches, schema=EPOCHS_SCHEMA.with_metadata(metadata)),
    )


def _drawn(random: Random, spec: dict[str, Any]) -> Any:  # noqa: ANN401 (a number or a word)
    if "choices" in spec:
        return random.choice(spec["choices"])
    if spec["log"]:
        return float(f"{math.exp(random.uniform(math.log(spec['low']), math.log(spec['high']))):.4g}")
    return round(random.uniform(spec["low"], spec["high"]), 4)


def _epoch(random: Random, config: TrainConfig, epoch: int) -> EpochRecord:
    """Make an epoch whose errors fall to what the learning rate and the weight decay allow."""
    distance = math.log10(config.lr / 0.1) ** 2 + 0.3 * math.log10(config.weight_decay / 5e-4) ** 2
    error = min(90.0, 7 + 6 * distance + 60 / epoch + 2 * random.random())
    return replace(
        random_record(random, epoch),
        lr=config.lr,
        train_loss=error / 30,
        train_error_percent=error / 2,
        holdout_loss=error / 25,
        holdout_error_percent=error,
        test_loss=error / 25,
        test_error_percent=error + random.random(),
    )


def measure(browser: "Browser", path: Path) -> dict[str, float]:
    """Open the page in a new tab and return the milliseconds of its loading and of each act."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    started = time.perf_counter()
    page.goto(path.as_uri())
    page.evaluate(FRAMES)
    found = {"load": 1000 * (time.perf_counter() - started)}
    for name, act in ACTS.items():
        found[name] = page.evaluate(
            f"async () => {{ const at = performance.now(); {act}; await {FRAMES}; return performance.now() - at; }}"
        )
    if "selected" not in page.get_by_role("status").inner_text():
        raise SystemExit("the brush has selected nothing: its time says nothing")
    page.close()
    return found


def measure_rounds(path: Path, num_rounds: int) -> list[dict[str, float]]:
    """Measure so many times in one browser, after one time that does not count."""
    with running_browser() as browser:
        rounds = [measure(browser, path) for _ in range(num_rounds + 1)][1:]
        version = browser.version
    print(f"Chromium {version}")
    return rounds


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=5, quick="50 trials of 10 epochs once, to see that it works")
    arguments = parser.parse_args()
    num_trials, num_epochs = (50, 10) if arguments.quick else (NUM_TRIALS, NUM_EPOCHS)
    trials, epochs = tables(num_trials, num_epochs)
    started = time.process_time()
    text = report_texts(trials, epochs, SWEEP)[HTML]
    seconds = time.process_time() - started
    data = len(page_json(page_data(trials, epochs)).encode())
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / HTML
        path.write_text(text)
        busy = harness.busy_cores()
        rounds = measure_rounds(path, 1 if arguments.quick else arguments.rounds)
    acts = {act: harness.summary([found[act] for found in rounds]) for act in LIMITS}
    rows = {act: {"milliseconds": figures, "limit": LIMITS[act]} for act, figures in acts.items()}
    harness.print_figures(f"{num_trials} trials x {num_epochs} epochs, median (least to most)", rows)
    report = {
        "num_trials": num_trials,
        "num_epochs": num_epochs,
        "busy_cores_before": busy,
        "is_real_time": os.sched_getscheduler(0) != os.SCHED_OTHER,
        "page_bytes": len(text.encode()),
        "data_bytes": data,
        "processor_seconds_to_make": seconds,
        "limits": LIMITS,
        "milliseconds": acts,
    }
    print(harness.write_report("page_scale", "python benchmarks/page_scale.py", report, arguments.to))


if __name__ == "__main__":
    main()
