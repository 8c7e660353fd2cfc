"""`verify SWEEP` finds every altered cell of what is made from the ledgers, and nothing where none is altered."""

import random
import re
import shutil
import zlib
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.parquet import stamp
from results.parquet.checksum import with_checksum
from results.parquet.collect import Collector
from results.parquet.files import CARD, export_into_store
from results.parquet.schema import EPOCHS_SCHEMA
from results.parquet.stamp import read_stamp
from results.report.files import HTML, MARKDOWN, write_report
from results.report.markdown import render_markdown
from results.store.local_store import LocalStore
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from sweep import recomputation
from sweep.recomputation import MADE_FILES, Recomputation
from sweep.runs import RunRecord, RunStart, append_run
from sweep.verification import verify
from tests.cli_tests.flipped_bits import PLANNED, SEARCHED, SmallStore, small_store
from tests.results_tests.result_samples import (
    END,
    START,
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
)
from trainable.ledger.ledger import Ledger
from trainable.records import Status

SWEEP = "sweep"
OTHER_CHARACTERS = str.maketrans("0123456789abcdefghijklmnopqrstuvwxyz", "1234567890bcdefghijklmnopqrstuvwxyza")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    """A sweep and a search, each with all files that are made from its ledgers."""
    small = small_store(tmp_path_factory.mktemp("recomputed"))
    for sweep in (PLANNED, SEARCHED):
        assert small.answer(("export", sweep))[0] == 0
    assert small.answer(("report", PLANNED))[0] == 0
    return small


@pytest.fixture
def small(made: SmallStore, tmp_path: Path) -> SmallStore:
    """A store of the test's own."""
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return SmallStore(LocalStore(tmp_path / "store"), tmp_path)


def contents_of(store: LocalStore, sweep: str) -> dict[str, bytes]:
    found = {file: store.read(sweep, file) for file in MADE_FILES}
    return {file: content for file, content in found.items() if content is not None}


def other_value(value: object, dice: random.Random) -> object:
    """A value of the same type that differs as little as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + dice.choice((-1, 1)) if value > 1 else value + 1
    if isinstance(value, float):
        return value * (1 + 2**-52) if value else 5e-324
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, list):
        return [None, *value[1:]]
    return f"{value}x" if value else "x"


FILLED: dict[pa.DataType, object] = {pa.int64(): 1, pa.float64(): 1.0, pa.string(): "x", pa.bool_(): True}
"""A value for a cell that has none."""


def altered_table(content: bytes, dice: random.Random) -> tuple[bytes, str, str]:
    """Alter one cell; half of the files get a checksum that fits. Return the file, and the cell's row and column."""
    table = pq.read_table(pa.BufferReader(content))
    rows = table.to_pylist()
    while True:
        position, field = dice.randrange(len(rows)), dice.choice(list(table.schema))
        value = rows[position][field.name]
        if value is not None or field.type in FILLED:
            break
    key = rows[position]["trial_key"]
    can_be_lost = field.nullable and value is not None and dice.random() < 0.2
    rows[position][field.name] = (
        None if can_be_lost else other_value(value, dice) if value is not None else FILLED[field.type]
    )
    stream = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), stream)
    altered = stream.getvalue().to_pybytes()
    return with_checksum(altered) if dice.random() < 0.5 else altered, key, field.name


def altered_text(content: bytes, dice: random.Random) -> bytes:
    """Alter one letter or digit anywhere; half of the files get a checksum that fits."""
    read = read_stamp(content)
    assert read is not None
    text, end = read.body.decode(), content[len(read.body) :]
    place = dice.choice([match.start() for match in re.finditer(r"[0-9a-z]", text)])
    altered = (text[:place] + text[place].translate(OTHER_CHARACTERS) + text[place + 1 :]).encode()
    if dice.random() < 0.5:
        start = altered + end[: end.rindex(b"crc32 ") + 6]
        return b"%b%08x -->\n" % (start, zlib.crc32(start))
    return altered + end


def check_alterations(store: LocalStore, sweep: str, number: int) -> None:
    """Check that so many alterations of each file are found, and named by row and column or by line."""
    made, contents = Recomputation(store, store.manifest(sweep)), contents_of(store, sweep)
    assert made.compare(contents).findings == []
    dice = random.Random(sweep)  # noqa: S311
    for file in (TRIALS_PARQUET, EPOCHS_PARQUET):
        for _ in range(number):
            altered, key, column = altered_table(contents[file], dice)
            compared = made.compare({**contents, file: altered})
            assert {found for found, _, _ in compared.findings} == {file}, (key, column)
            problem = compared.findings[0][1]
            assert problem == "is damaged" or f"column {column}: holds " in problem, (problem, column)
            assert problem == "is damaged" or column == "trial_key" or key in problem
    for file in (MARKDOWN, HTML, CARD):
        for _ in range(number if file in contents else 0):
            altered = altered_text(contents[file], dice)
            compared = made.compare({**contents, file: altered})
            assert [found for found, _, _ in compared.findings[:1]] == [file], altered
            assert compared.findings[0][1].startswith("differs in line ")


def test_some_altered_cells_are_found(made: SmallStore) -> None:
    for sweep in (PLANNED, SEARCHED):
        check_alterations(made.store, sweep, 4)


def test_an_altered_copy_and_an_altered_report_are_named(small: SmallStore, tmp_path: Path) -> None:
    copy, page = tmp_path / "copy", small.store.sweep_folder(PLANNED) / HTML
    assert small.answer(("export", PLANNED, "--to", str(copy)))[0] == 0
    text = page.read_text()
    start = text.index(">18.00<", text.index("<h2>All trials"))
    page.write_text(f"{text[:start]}>17.00<{text[start + 7 :]}")
    altered = pq.read_table(copy / EPOCHS_PARQUET).to_pydict()
    altered["test_loss"][1] = 1.25
    pq.write_table(pa.Table.from_pydict(altered, schema=EPOCHS_SCHEMA), copy / EPOCHS_PARQUET)
    key = small.store.manifest(PLANNED).keys[0]
    status, out, _ = small.answer(("verify", PLANNED, "--copy", str(copy)))
    assert (status, out.count("\n")) == (1, 3)
    assert re.search(rf"{page} differs in line \d+ \(trial {key}\), column test error %: holds 17.00, recomp", out), (
        out
    )
    assert (
        f"{copy / EPOCHS_PARQUET} differs in row {key} epoch 2, column test_loss: holds 1.25, recomputed 1.5" in out
    )
    status, _, err = small.answer(("verify", PLANNED, "--copy", str(tmp_path)))
    assert (status, "holds none of trials.parquet" in err) == (2, True)


def test_what_has_gone_on_or_is_of_another_version_is_no_damage(
    small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = small.store
    config = store.manifest(PLANNED).trials[2].config  # unfinished
    with Ledger(store.trial_folder(config.trial_key), config.to_dict()) as ledger:
        ledger.begin(make_attempt(2, run_id="killed"))
        ledger.append(make_epoch(2, 17.0, attempt=2))
    status, out, _ = small.answer(("verify", PLANNED))
    assert status == 0
    assert out.count("1 training has gone on since the Parquet files were written") == 1
    assert out.count("was made from other data than the ledgers hold now") == 3
    assert out.count("\n") == 5
    assert [small.answer((command, PLANNED))[0] for command in ("export", "report")] == [0, 0]
    monkeypatch.setattr(recomputation, "code_hash", lambda: "0" * 12)
    monkeypatch.setattr(stamp, "code_hash", lambda: "0" * 12)
    assert small.answer(("verify", PLANNED))[:2] == (0, "read 19 files of 3 trainings and their sweeps: no damage\n")
    monkeypatch.setattr(
        "results.report.files.render_markdown", lambda page: render_markdown(page).replace("## The space", "## Space")
    )
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, out.count("was made by another version of the program")) == (0, 1)
    page = store.sweep_folder(PLANNED) / MARKDOWN
    text = page.read_text()
    page.write_text(text.replace("18.00", "17.00"))
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, out.count(f"{page} differs in line ")) == (1, 4)
    assert out.replace("**", "").count("holds 17.00, recomputed 18.00") == 3
    body, _, last = text.rpartition("<!--")
    page.write_text(f"{body.replace('e', 'f')}<!--{last}")
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, out.count(f"{page} was changed after it was made: ")) == (1, 1)


def test_another_sweep_that_trains_a_trial_again_is_no_damage(small: SmallStore) -> None:
    config = small.store.manifest(PLANNED).trials[0].config
    small.store.supersede(make_manifest([config], "other"))
    assert small.answer(("verify", PLANNED))[0] == 0
    with Ledger(small.store.trial_folder(config.trial_key), config.to_dict()) as ledger:
        ledger.begin(make_attempt(run_id="other"))
        ledger.append(make_epoch(1, 30.0))
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, out.count("1 training has gone on since")) == (0, 1)


@pytest.mark.faults
def test_a_hundred_altered_cells_of_each_file_are_found(made: SmallStore) -> None:
    assert made.answer(("report", SEARCHED))[0] == 0
    for sweep in (PLANNED, SEARCHED):
        check_alterations(made.store, sweep, 100)


def clean_store(folder: Path, seed: int) -> LocalStore:
    """A store whose contents depend on the seed: numbers, ends, resumed, retrained and unfinished trials."""
    dice = random.Random(seed)  # noqa: S311
    store = LocalStore(folder)
    configs = [
        make_config(lr=0.05 * 2**power, batch_size=32 * 2 ** dice.randrange(3), seed=seed, epochs=3)
        for power in range(dice.randrange(2, 6))
    ]
    manifest = make_manifest(configs, SWEEP)
    statuses = [Status.COMPLETE, Status.COMPLETE, Status.COMPLETE, Status.DIVERGED, Status.FAILED, None]
    with store.driving(manifest):
        append_run(store, SWEEP, RunStart("run", START))
        for training, some in enumerate([configs, configs[:1] * dice.randrange(2)]):
            if training and some:
                store.supersede(make_manifest(some, SWEEP))
            for config in some:
                status = dice.choice(statuses) if training or config is not configs[0] else Status.COMPLETE
                with Ledger(store.trial_folder(config.trial_key), config.to_dict()) as ledger:
                    num_attempts = dice.randrange(1, 3)
                    for number in range(1, num_attempts + 1):
                        ledger.begin(make_attempt(number))
                    for epoch in range(1, 4 if status is Status.COMPLETE else dice.randrange(1, 4)):
                        changes = {"attempt": num_attempts, "train_seconds": dice.random() + 0.1}
                        ledger.append(make_epoch(epoch, 90 * dice.random(), train_loss=dice.random(), **changes))
                    if status is not None:
                        ledger.finish(make_end(status, len(ledger.epochs), end_time=END))
        append_run(store, SWEEP, RunRecord("run", START, 1, 4, 3, 5, 11.5, 3.25, 0.5, False))
        export_into_store(*Collector(store, manifest).tables(), store, SWEEP)
    write_report(store, SWEEP, store.sweep_folder(SWEEP))
    return store


@pytest.mark.faults
def test_nothing_is_found_in_a_hundred_clean_stores(tmp_path: Path) -> None:
    for seed in range(100):
        store = clean_store(tmp_path / str(seed), seed)
        found = verify(store, SWEEP)
        assert (found.findings, found.notes) == ([], []), seed
        assert len(contents_of(store, SWEEP)) == len(MADE_FILES)
