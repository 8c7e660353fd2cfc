"""The facts at the top of a report."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from models.names import display_name
from results.parquet.search_results import SearchResults
from results.parquet.trials import Cell, Trial, best_cell
from results.report.formatting import Facts, config_words, moment, named_values, plain
from results.report.search_section import chosen_facts
from results.tables.layout import format_seconds, mean_text
from trainable.records import Purpose, Status
from trainable.wording import counted


def summary_facts(cells: Sequence[Cell], metadata: Mapping[str, str], search: SearchResults | None) -> Facts:
    """Return the facts about a sweep from its configurations and the metadata of its Parquet files."""
    trials = [trial for cell in cells for trial in cell.trials]
    num_planned = int(metadata.get("num_planned", len(trials)))
    facts: Facts = [("trials", _status_counts(trials, num_planned, is_search=search is not None))]
    facts += (
        [("configurations", str(len(cells))), *_best(cells)]
        if search is None
        else chosen_facts(search, is_scaled=bool(metadata.get("scale")))
    )
    if trials:
        facts += [
            ("time of all trials", format_seconds(sum(trial.row.total_seconds for trial in trials))),
            ("from (UTC)", moment(min(trial.row.start_time for trial in trials))),
            ("to (UTC)", moment(max((t for trial in trials if (t := trial.row.end_time)), default=None))),
            ("data set", _datasets(trials)),
            ("model", _distinct(display_name(trial.config.model) for trial in trials)),
            ("device", _distinct(trial.row.device for trial in trials)),
        ]
    if metadata.get("scale"):
        facts.append(("scale", f"{metadata['scale']} (not the full size of the space)"))
    overrides = json.loads(metadata.get("overrides", "{}"))
    if overrides:
        facts.append(("set on the command line", named_values(metadata["overrides"])))
    extends = json.loads(metadata.get("extends", "[]"))
    if extends:
        facts.append(("extended", f"also holds the trials of {counted(len(extends), 'earlier space')}"))
    facts.append(("code (commit/source)", metadata.get("code", "-")))
    return facts


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _status_counts(trials: Sequence[Trial], num_planned: int, *, is_search: bool) -> str:
    counts = Counter(trial.status for trial in trials)
    words = [f"{counts[status]} {status.value.lower()}" for status in Status if counts[status]]
    if num_planned > len(trials):
        words.append(f"{num_planned - len(trials)} not started")
    what = "planned"
    if is_search:
        num_confirming = sum(trial.row.purpose == Purpose.CONFIRM for trial in trials)
        what = f"in the search, {num_confirming} of them to confirm its choice" if num_confirming else "proposed"
    return f"{num_planned} {what}: {', '.join(words)}" if words else f"none {what}"


def _best(cells: Sequence[Cell]) -> Facts:
    """Return the configuration with the best mean test error, and that it is selected on the test set."""
    best = best_cell(cells)
    if best is None:
        return []
    errors = best.test_errors
    return [
        ("best test error", f"{mean_text(errors)} (n = {len(errors)}): {config_words(best)}"),
        (
            "how it was chosen",
            "by mean error at the last epoch, selected on the test set: expect more in a new run",
        ),
    ]


def _datasets(trials: Sequence[Trial]) -> str:
    """Return the data sets of the trials; confirmations use all images that the search had, and are not listed."""
    searching = [trial for trial in trials if trial.row.purpose != Purpose.CONFIRM]
    words = "; ".join(dict.fromkeys(_dataset(trial) for trial in searching or trials))
    return f"{words} (none for confirmations)" if 0 < len(searching) < len(trials) else words


def _dataset(trial: Trial) -> str:
    config = trial.config
    subsets = [
        "the first " + counted(size, f"{split} image")
        for split, size in (("training", config.train_subset), ("test", config.test_subset))
        if size is not None
    ]
    held_out = [f"{100 * config.holdout:g} % of training held out"] if config.holdout else []
    return ", ".join([config.dataset, f"fingerprint {plain(config.dataset_fingerprint)}", *subsets, *held_out])
