"""Searches with equal epochs on real images: `python benchmarks/search_on_images.py --data DIR --store STORE`.

Each arm searches base learning rate, batch size, momentum and weight decay of ResNet-preact-8 with three seeds. A
search grows until its trials have spent the epochs of NUM_FULL full trainings, to within one trial; then the
configuration that it chose by the held-out images is trained again on all training images with further seeds, whose
test errors are compared. `--arms NAMES` trains some arms only. `--program FILE` is the tune_main.py that runs them,
for the arm 'tpe_asha_before' that of commit c8c2f53, before samplers learned to avoid diverged trials. Without
`--data` the script only writes the table of results/examples/search_on_images from the Parquet files there.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import ROOT
from results.parquet.files import read_trials
from results.parquet.trials import Trial, trials_from_table
from results.store.local_store import LocalStore
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from results.tables.layout import percent
from trainable.records import Purpose, Status
from trainable.reference_pages import markdown_table, refreshed
from trainable.wording import format_value

FOLDER = ROOT / "results" / "examples" / "search_on_images"
EPOCHS, NUM_FULL, SEEDS = 9, 20, (0, 1, 2)
BUDGET = EPOCHS * NUM_FULL
NUM_CONFIRMING = 3
ARMS: Mapping[str, tuple[str, str]] = {
    "random": ("random", "none"),
    "tpe_asha_before": ("tpe", "asha"),
    "recommended": ("mfgp", "promotion"),
}
"""Name of an arm -> its algorithm and its scheduler."""
SEARCHED = ("base_lr", "batch_size", "momentum", "weight_decay")


def sweep_name(arm: str, seed: int) -> str:
    return f"{arm}-{seed}"


def space(arm: str, seed: int, num_trials: int, *, confirm: bool) -> dict[str, Any]:
    """Return the space of a search, as JSON, which is YAML, too."""
    algorithm, scheduler = ARMS[arm]
    return {
        "name": sweep_name(arm, seed),
        "defaults": {
            "model": "resnet_preact_8",
            "dataset": "cifar10",
            "epochs": EPOCHS,
            "schedule": "cosine",
            "train_subset": 3000,
            "test_subset": 2000,
            "holdout": 0.3,
        },
        "search": {"algorithm": algorithm, "num_trials": num_trials, "seed": seed},
        "parameters": {
            "base_lr": {"min": 0.01, "max": 1.0, "distribution": "log_uniform_values"},
            "batch_size": {"values": [32, 64, 128, 256, 512]},
            "momentum": {"min": 0.8, "max": 0.98},
            "weight_decay": {"min": 1e-5, "max": 1e-3, "distribution": "log_uniform_values"},
        },
        "derive": {"lr": "base_lr * batch_size / 128"},
        "scheduler": {"type": scheduler},
        **({"confirm": {"top": 1, "repeats": NUM_CONFIRMING}} if confirm else {}),
    }


def trials_of(folder: Path, sweep: str, purpose: Purpose) -> list[Trial]:
    trials = trials_from_table(read_trials(LocalStore(folder), sweep))
    return [trial for trial in trials if trial.row.purpose == purpose]


def epochs_spent(folder: Path, sweep: str) -> int:
    return sum(trial.row.epochs_done for trial in trials_of(folder, sweep, Purpose.SEARCH))


def search(arm: str, seed: int, arguments: argparse.Namespace) -> None:
    """Let one search grow until its budget is spent, and confirm what it chose."""
    sweep, store = sweep_name(arm, seed), arguments.store
    file = store.parent / f"{sweep}.yaml"

    def run(num_trials: int, *, confirm: bool = False) -> None:
        file.write_text(json.dumps(space(arm, seed, num_trials, confirm=confirm)))
        command = [sys.executable, arguments.program, "run", file, "--store", store, "--data", arguments.data]
        subprocess.run([*map(str, command), "--max-concurrent", "2"], check=True)

    num_trials = json.loads(file.read_text())["search"]["num_trials"] if file.exists() else NUM_FULL
    run(num_trials)
    while (left := BUDGET - epochs_spent(store, sweep)) >= EPOCHS:
        num_trials += left // EPOCHS
        run(num_trials)
    run(num_trials, confirm=True)
    copy = FOLDER / sweep
    copy.mkdir(parents=True, exist_ok=True)
    for name in (TRIALS_PARQUET, EPOCHS_PARQUET):
        shutil.copyfile(store / sweep / name, copy / name)


def chosen_words(trial: Trial) -> str:
    values = {**trial.config.to_dict(), **json.loads(trial.row.variables)}
    return ", ".join(f"{name} {format_value(values[name])}" for name in SEARCHED)


def table() -> str:
    """Return a row for each search, and the mean of each arm."""
    rows: list[list[str]] = []
    for arm in ARMS:
        means = []
        for seed in SEEDS:
            sweep = sweep_name(arm, seed)
            if not (FOLDER / sweep).exists():
                continue
            searched, confirmed = (trials_of(FOLDER, sweep, purpose) for purpose in (Purpose.SEARCH, Purpose.CONFIRM))
            complete = [trial for trial in searched if trial.row.status == Status.COMPLETE]
            best = min(complete, key=lambda trial: trial.row.objective_values or [100.0])
            errors = [trial.row.test_error_percent or 100.0 for trial in confirmed]
            means.append(statistics.fmean(errors))
            held_out = percent((best.row.objective_values or [100.0])[0])
            told = f"{percent(means[-1])} ({percent(min(errors))} to {percent(max(errors))})"
            spent = str(epochs_spent(FOLDER, sweep))
            rows.append(
                [f"`{sweep}`", str(len(searched)), str(len(complete)), spent, chosen_words(best), held_out, told]
            )
        if means:
            rows.append([f"**{arm}**", "", "", "", "", "", f"**{percent(statistics.fmean(means))}**"])
    titles = ["search", "trials", "complete", "epochs", "chosen", "held-out error (%)", "test error, 3 seeds (%)"]
    return markdown_table(titles, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder named cifar10-jpeg, or another data set")
    parser.add_argument("--store", type=Path, default=ROOT / "runs" / "search_on_images")
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--program", type=Path, default=ROOT / "tune_main.py")
    arguments = parser.parse_args()
    if arguments.data is not None:
        arguments.store.mkdir(parents=True, exist_ok=True)
        for seed in SEEDS:
            for arm in arguments.arms:
                if not (FOLDER / sweep_name(arm, seed)).exists():
                    search(arm, seed, arguments)
    page = FOLDER / "README.md"
    page.write_text(refreshed(page.read_text(encoding="utf-8"), {"table": table()}), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
