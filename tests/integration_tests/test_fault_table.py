"""The committed table of faults: complete, and each row belongs to a test that sees it."""

from pathlib import Path

import pytest

from tests.integration_tests.fault_table import FAULTS, HEAD, TABLE, committed_rows, row, user_sees


def test_the_table_has_every_fault_once_and_nothing_else() -> None:
    assert TABLE.read_text().startswith(HEAD)
    assert list(committed_rows()) == list(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_row_is_seen_by_a_test(fault: str) -> None:
    here = Path(__file__)
    seen_in = [*here.parent.glob("test_*.py"), here.parent / "damaged_sweep.py"]
    sources = [path.read_text() for path in seen_in if path != here]
    assert any(f'"{fault}"' in source for source in sources)


def test_what_differs_from_run_to_run_is_left_out() -> None:
    output = (
        "small: 4 trials on digits, 0 done, 4 to train\n"
        "starting Ray ...\n"
        "[1/4] lr=0.2: test error 1.13 %, 10 epochs in 19s, 796 images/s, about 1m18s left\n"
        "[2/4] lr=0.05: FAILED: OSError: no, 1 epoch in 0s\n"
        "failed 0123456789abcdef: OSError: no\n"
        "batchscape: cannot write to /tmp/x-1/store/small: no\n"
        "estimate: 15s (12s to 20s), from 3 trials\n"
        "took 1m32s; the estimate was 15s (12s to 20s)\n"
        "4 of 4 trials done, results in /tmp/store/small\n"
    )
    assert user_sees(output) == [
        "[N/N] lr=N: FAILED: OSError: no",
        "failed KEY: OSError: no",
        "batchscape: cannot write to STORE/small: no",
    ]
    assert user_sees(output, about="0.05") == ["[N/N] lr=N: FAILED: OSError: no"]


def test_a_row_cannot_break_the_table() -> None:
    assert row("a fault", ["a | b"], 2, "kept") == "| a fault | `` a \\| b `` | 2 | kept |\n"
    assert row("a fault", [], None, "kept") == "| a fault | nothing | - | kept |\n"
