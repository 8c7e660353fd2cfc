"""Trials whose misses of test images are made up."""

from collections.abc import Mapping, Sequence

import numpy as np

from results.parquet.trials import Trial
from results.statistics.paired import Misses
from tests.results_tests.result_samples import make_config, make_trial

NUM_IMAGES = 400


def misses(*rows: Sequence[int]) -> Misses:
    return np.array(rows, dtype=np.int8)


def correct_bits(missed: Sequence[int] | Misses) -> bytes:
    return np.packbits(1 - np.asarray(missed)).tobytes()


def run_of(missed: Misses, **fields: object) -> Trial:
    """A trial of 2 epochs that missed these test images."""
    return make_trial(
        make_config(**{"epochs": 2, **fields}),
        100 * float(missed.mean()),
        test_correct_bits=correct_bits(missed),
    )


def runs(per_seed: Misses, first_seed: int = 0, **fields: object) -> list[Trial]:
    return [run_of(missed, seed=first_seed + seed, **fields) for seed, missed in enumerate(per_seed)]


def drawn(error: float, num_seeds: int, seed: int, shifts: Sequence[float] = ()) -> Misses:
    """Misses of seeds whose true errors (percent) are shifted; which images are hard is always the same."""
    hardness = np.random.default_rng(0).random(NUM_IMAGES)
    noise = np.random.default_rng(seed).normal(0, 0.04, (num_seeds, NUM_IMAGES))
    errors = error + np.array(shifts or [0.0] * num_seeds)
    return np.asarray(hardness + noise < errors[:, None] / 100).astype(np.int8)


def configurations(*fields: Mapping[str, object], seed: int = 0) -> list[Trial]:
    return [run_of(drawn(10, 1, seed)[0], **{**values, "seed": seed}) for values in fields]
