"""Searches leave what diverges, in the forms of `benchmarks/search_faults.py`."""

import numpy as np
import pytest

from benchmarks.search_faults import FORMS
from sweep.search.optuna_samplers import quiet


@pytest.mark.parametrize(
    ("form", "seeds", "limit"),
    [
        ("shipped", (0,), 0.05),
        ("sparse", (2, 4), 0.12),  # 0.3 without `TPE_WORST`
    ],
)
def test_tpe_leaves_what_diverges(form: str, seeds: tuple[int, ...], limit: float) -> None:
    with quiet():
        shares = [FORMS[form]("tpe", seed).diverging(3) for seed in seeds]
    assert np.mean(shares) < limit
