"""A sweep in which everything happens that a report has to tell, written by someone who means ill."""

import dataclasses
from pathlib import Path

from results.parquet.collect import Collector
from results.parquet.files import export_tables
from results.store.local_store import LocalStore
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.config import PlannedTrial
from trainable.records import Status

SWEEP = "evil"
SCRIPT = "<script>alert('x')</script>"
ERROR = f'RuntimeError: {SCRIPT} & `more` | "quoted"'
TABLE = "linear_scaling_cosine"
SPACE = f"""\
name: evil
description: "{SCRIPT} a | b `c` </style>"
reference: [{TABLE}]
grid: {{batch_size: [4096, 2048, 1024, 512]}}
"""
FINISHED: dict[int, tuple[float, float | None]] = {4096: (10.57, 10.71), 2048: (8.87, None), 1024: (8.4, 8.35)}
"""Batch size -> test error (percent) of each seed; None diverged."""


def write_evil_sweep(path: Path) -> LocalStore:
    """Two repeats at four batch sizes: five finished, one diverged, one failed, one not begun (trained otherwise).

    After it the store holds the two Parquet files and neither ledgers nor manifest.
    """
    store = LocalStore(path / "ledgers")
    trials = []
    for batch_size in (*FINISHED, 512):
        for seed in (0, 1):
            config = make_config(
                batch_size=batch_size,
                lr=batch_size / 1280,
                epochs=200,
                precision="fp32",
                augmentation="none" if batch_size == 512 else "crop_flip",
                seed=seed,
            )
            trials.append(PlannedTrial(config, seed, {SCRIPT: seed}))
    for trial in trials:
        config = trial.config
        if config.batch_size == 512:
            if config.seed == 0:
                write_trial(store, config, [make_epoch(1, 60.0)], make_end(Status.FAILED, 1, error=ERROR))
            continue
        error = FINISHED[config.batch_size][config.seed]
        records = [make_epoch(epoch, 10 + 80 / epoch) for epoch in range(1, 200)]
        if error is None:
            write_trial(store, config, records[:3], make_end(Status.DIVERGED, 3))
        else:
            write_trial(store, config, [*records, make_epoch(200, error)], make_end(Status.COMPLETE, 200))
    manifest = make_manifest([], SWEEP, space=SPACE, overrides={"momentum": SCRIPT})
    tables = Collector(store, dataclasses.replace(manifest, trials=trials)).tables()
    export_tables(*tables, str(path / "store" / SWEEP))
    return LocalStore(path / "store")
