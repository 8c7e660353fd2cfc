"""One changed bit in any file of a store: a command answers as before, or names the file."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli_tests.flipped_bits import (
    PLANNED,
    SEARCHED,
    SmallStore,
    as_read,
    complaint,
    flipped,
    flips,
    full_answer,
    small_store,
)

SAMPLED, SAMPLED_LONG = 601, 31
"""One of so many bytes of a text is changed in the short and in the long form of what commands answer."""
SAMPLED_READ = 199
"""All bits of one of so many bytes are changed in the short form for readers alone, in the long form of each."""
SAMPLED_TABLES, SAMPLED_TABLES_LONG = 2000, 300
"""One of so many bytes of a Parquet file is changed in the short and in the long form."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("flipped"))


def complaints(small: SmallStore, paths: Sequence[Path], every: int) -> list[str]:
    found = []
    for path in paths:
        before = {command: full_answer(small, command) for command in small.commands(path)}
        for position, bit in flips(path, every):
            with flipped(path, position, bit):
                told = [complaint(small, path, *pair) for pair in before.items() if path.suffix != ".txt"]
                told += [complaint(small, path, command, None) for command in before if path.suffix == ".txt"]
                found += [f"{path}, byte {position}, bit {bit}: {text}" for text in told if text is not None]
    return found


def test_every_command_answers_while_nothing_is_damaged(small: SmallStore) -> None:
    commands = {command for path in [*small.texts, *small.tables] for command in small.commands(path)}
    assert [answer for command in commands if (answer := small.answer(command))[0] or answer[2]] == []


def test_a_changed_bit_of_a_text(small: SmallStore) -> None:
    assert complaints(small, small.texts, SAMPLED) == []


def test_a_changed_bit_of_a_table(small: SmallStore) -> None:
    assert complaints(small, small.tables, SAMPLED_TABLES) == []


def believed(small: SmallStore, every: int) -> list[str]:
    """Change all bits of one of every so many bytes; return those changes that readers take for what was written."""
    found = []
    for path in small.texts:
        before = as_read(small, path)
        for position in range(0, path.stat().st_size if path.suffix != ".txt" else 0, every):
            for bit in range(8):
                with flipped(path, position, bit):
                    now, is_told = as_read(small, path)
                if not is_told and now != before[0]:
                    found.append(f"{path}, byte {position}, bit {bit}")
    return found


def test_no_reader_believes_a_changed_bit(small: SmallStore) -> None:
    assert believed(small, SAMPLED_READ) == []


@pytest.mark.faults
def test_no_reader_believes_any_changed_bit(small: SmallStore) -> None:
    assert believed(small, 1) == []


@pytest.mark.faults
def test_changed_bits_of_the_texts(small: SmallStore) -> None:
    assert complaints(small, small.texts, SAMPLED_LONG) == []


@pytest.mark.faults
def test_changed_bits_of_the_tables(small: SmallStore) -> None:
    assert complaints(small, small.tables, SAMPLED_TABLES_LONG) == []


@pytest.mark.faults
@pytest.mark.parametrize("sweep", [PLANNED, SEARCHED])
def test_the_report_of_a_changed_table(small: SmallStore, sweep: str, tmp_path: Path) -> None:
    for path in (path for path in small.tables if path.parent.name == sweep):
        for position, bit in flips(path, path.stat().st_size // 8):
            with flipped(path, position, bit):
                assert complaint(small, path, ("report", sweep, "--to", str(tmp_path)), None) is None
