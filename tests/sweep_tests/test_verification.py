"""`verify` names every damaged file of a store, and `--repair` leaves a store without damage."""

import os
import re
import shutil
from pathlib import Path

import pytest

from docs.generate import DOCS
from results.store.journal import RUNS
from results.store.local_store import LocalStore
from results.store.manifest import MANIFEST
from results.store.opening import open_store
from results.store.search_log import SEARCH_LOG, SearchLog, parse_log
from results.store.search_progress import LOST
from results.store.sweep_files import TRIALS_PARQUET
from sweep.repair import repair
from sweep.search.opening import repair_log
from sweep.verification import _Verifier, verify
from tests.cli_tests.flipped_bits import PLANNED, SEARCHED, SmallStore, flips, small_store
from tests.integration_tests.test_old_store import unpack
from tests.results_tests.result_samples import make_config, make_manifest
from tests.results_tests.store_samples import train
from tests.s3_server import S3Server
from trainable.errors import UserError
from trainable.ledger.checkpoints import parse_checkpoint
from trainable.ledger.checksums import sealed, unsealed
from trainable.ledger.files import ATTEMPTS, CONFIG, EPOCHS, FINAL_STATE, RESULT, WEIGHTS
from trainable.ledger.identity import IDENTITY
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial
from trainable.ledger.remote_ledger import read_final_state
from trainable.ledger.safetensors import StoredTensor, StoredWeights
from trainable.sweep_name import TRIALS


def documented() -> set[tuple[str, str]]:
    """Each file and what is said of it, in the table of docs/troubleshooting.md."""
    said = set()
    files: list[str] = []
    for line in (
        (DOCS / "troubleshooting.md").read_text(encoding="utf-8").partition("| of | it says |")[2].splitlines()
    ):
        cells = line.split("|")
        if len(cells) == 5 and "`" in cells[2]:
            files = re.findall("`(.+?)`", cells[1]) or files
            said |= {(file, words) for file in files for words in re.findall("`(.+?)`", cells[2])}
    return said


DOCUMENTED = documented()


@pytest.fixture(autouse=True)
def findings_are_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    add = _Verifier._add

    def checked(self: _Verifier, path: str, problem: str, advice: str) -> None:
        file = path.rpartition("/")[2].partition(":")[0]
        file = "KEY" if path == f"{TRIALS}/{file}" else file
        assert any(name == file and problem.startswith(words) for name, words in DOCUMENTED), (path, problem)
        add(self, path, problem, advice)

    monkeypatch.setattr(_Verifier, "_add", checked)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("verified"))


@pytest.fixture
def small(made: SmallStore, tmp_path: Path) -> SmallStore:
    """A store of the test's own."""
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return SmallStore(LocalStore(tmp_path / "store"), tmp_path)


@pytest.fixture
def folders(small: SmallStore) -> list[Path]:
    """The folders of the planned sweep's trials: one has ended, one has failed, one is unfinished."""
    return [small.store.trial_folder(key) for key in small.store.manifest(PLANNED).keys]


def flip(path: Path, skip: int = 0) -> None:
    """Change a bit somewhere behind the first bytes; calling this again undoes it."""
    (position, bit), *_ = flips(path, path.stat().st_size - skip)
    position += skip
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(bytes(content))


def test_nothing_is_damaged(small: SmallStore) -> None:
    for sweep in ([], [PLANNED], [SEARCHED]):
        status, out, _ = small.answer(("verify", *sweep))
        assert (status, out.count("\n")) == (0, 1)
        assert out.endswith("no damage\n")


def test_each_damaged_file_is_named_and_repaired(small: SmallStore, folders: list[Path]) -> None:
    planned, searched = (small.store.sweep_folder(name) for name in (PLANNED, SEARCHED))
    damaged = [small.store.path / IDENTITY, planned / RUNS, searched / SEARCH_LOG, *small.tables]
    damaged += [folders[0] / RESULT, folders[1] / EPOCHS, folders[1] / ATTEMPTS, folders[2] / CONFIG]
    for path in damaged:
        flip(path, skip=(searched / SEARCH_LOG).read_bytes().index(b"\n") if path.name == SEARCH_LOG else 0)
    status, out, _ = small.answer(("verify",))
    assert status == 1
    assert [path for path in damaged if str(path) not in out] == []
    assert out.endswith(f" {len(damaged)} damaged\n")
    status, out, err = small.answer(("verify", "--repair"))
    assert (status, err) == (0, ""), out
    assert out.endswith("no damage\n")
    flip(searched / SEARCH_LOG)  # nothing else knows what the search consists of
    tables = (searched / TRIALS_PARQUET).read_bytes()
    status, out, _ = small.answer(("verify", SEARCHED, "--repair"))
    assert (status, out.count(f"{SEARCH_LOG}:1 is damaged"), out.count("not repaired: ")) == (1, 3, 1)
    assert (searched / TRIALS_PARQUET).read_bytes() == tables
    flip(planned / MANIFEST)  # nothing else knows what the sweep consists of
    status, out, _ = small.answer(("verify", PLANNED, "--repair"))
    assert (status, out.count("delete it and run the sweep again")) == (1, 3)


def test_what_is_left_is_said(small: SmallStore, folders: list[Path]) -> None:
    path = folders[0] / EPOCHS
    path.write_bytes(path.read_bytes().replace(b"18.0", b"11.0"))
    status, out, _ = small.answer(("verify", PLANNED))
    assert status == 1
    assert f"{path}:2 is damaged: 1 epoch is kept; `run` trains the others again" in out
    status, out, _ = small.answer(("verify", PLANNED, "--repair"))
    assert status == 0
    assert f"{folders[0].name}: {EPOCHS} repaired, 1 epoch kept; `run` trains it from the beginning" in out


def test_damaged_weights_are_named_and_deleted(small: SmallStore, folders: list[Path]) -> None:
    config, path = read_trial(folders[0]).config, folders[0] / WEIGHTS
    with Ledger(folders[0], config) as ledger:
        ledger.save_weights(StoredWeights({"bias": StoredTensor("F32", (2,), bytes(8))}, {}))
    status, out, _ = small.answer(("verify",))
    assert (status, out.count("\n")) == (0, 1)
    flip(path)
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, f"{path} is damaged: no result is lost" in out) == (1, True)
    status, out, _ = small.answer(("verify", "--repair"))
    assert (status, f"{folders[0].name}: {WEIGHTS} repaired, 2 epochs kept; nothing is left" in out) == (0, True)
    assert not path.exists()


@pytest.mark.parametrize("file", [CONFIG, ATTEMPTS, EPOCHS, RESULT, MANIFEST, RUNS, TRIALS_PARQUET])
def test_a_pipe_in_place_of_a_file_is_named(small: SmallStore, folders: list[Path], file: str) -> None:
    path = next(
        folder / file for folder in (folders[0], small.store.sweep_folder(PLANNED)) if (folder / file).exists()
    )
    path.unlink()
    os.mkfifo(path)
    status, out, err = small.answer(("verify",))
    assert (status, err) == (1, "")
    assert out.count(str(path)) == 1
    for command in (("list",), ("status", PLANNED), ("table", PLANNED)):
        small.answer(command)  # none of them waits for ever


@pytest.mark.parametrize("content", [b"[" * 100000, b'{"a":' + b"[" * 50000])
@pytest.mark.parametrize("file", [CONFIG, ATTEMPTS, EPOCHS, RESULT, MANIFEST, RUNS])
def test_deeply_nested_records_are_damaged(small: SmallStore, folders: list[Path], file: str, content: bytes) -> None:
    path = next(
        folder / file for folder in (folders[0], small.store.sweep_folder(PLANNED)) if (folder / file).exists()
    )
    path.write_bytes(content + b"\n")
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, str(path) in out) == (1, True)
    small.answer(("status", PLANNED))


def strip(path: Path, number: int) -> None:
    """Remove the checksum of a line."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = re.sub(rb',"crc32":"[0-9a-f]{8}"', b"", lines[number - 1])
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("number", [1, 2])
def test_a_line_without_its_checksum_is_damaged(small: SmallStore, folders: list[Path], number: int) -> None:
    for path in (
        folders[0] / EPOCHS,
        small.store.sweep_folder(PLANNED) / RUNS,
        small.store.sweep_folder(SEARCHED) / SEARCH_LOG,
    ):
        strip(path, number)
        if path.name == EPOCHS:
            assert read_trial(path.parent).damage == [f"{EPOCHS}:{number}"]
    _, out, _ = small.answer(("verify", PLANNED))
    assert (f"{RUNS}:{number} is damaged" in out) == (number > 1)
    _, out, _ = small.answer(("verify", SEARCHED))
    assert (f"{SEARCH_LOG}:{number} is damaged" in out) == (number > 1)


def test_what_is_missing_is_named(small: SmallStore, folders: list[Path]) -> None:
    planned, searched = (small.store.sweep_folder(name) for name in (PLANNED, SEARCHED))
    lost = folders[0]
    shutil.move(lost, small.folder / "aside")
    _, out, _ = small.answer(("verify", PLANNED))
    assert f"{lost} is missing or no folder, but was COMPLETE: put the folder back" in out
    lost.write_bytes(b"")
    assert small.answer(("verify", PLANNED, "--repair"))[0] == 1
    lost.unlink()
    lost.symlink_to(small.folder / "aside")
    for options in ((), ("--repair",)):
        status, out, err = small.answer(("verify", PLANNED, *options))
        assert (status, f"{lost} is a symbolic link" in out, err) == (1, True, "")
        assert next(line for line in out.splitlines() if "symbolic" in line) in small.answer(("status", PLANNED))[1]
    lost.unlink()
    shutil.move(small.folder / "aside", lost)
    (lost / ATTEMPTS).write_bytes(b"")
    assert f"{lost / ATTEMPTS} is missing or empty" in small.answer(("verify", PLANNED))[1]
    shutil.copy(searched / TRIALS_PARQUET, planned / TRIALS_PARQUET)
    assert f"{TRIALS_PARQUET} is of the sweep '{SEARCHED}'" in small.answer(("verify", PLANNED))[1]
    assert f"{TRIALS_PARQUET} is of the sweep '{SEARCHED}'" in small.answer(("table", PLANNED))[2]
    (searched / MANIFEST).unlink()
    assert f"{searched / MANIFEST} is missing: run the sweep again" in small.answer(("verify",))[1]


def test_swapped_folders_are_told_and_not_believed(small: SmallStore, folders: list[Path]) -> None:
    first, second, _ = folders
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)
    status, out, _ = small.answer(("verify", PLANNED))
    assert status == 1
    assert f"{first}/{CONFIG} is of the trial {second.name}: give the folder that name" in out
    assert (read_trial(first).epochs, read_trial(second).end) == ([], None)
    shutil.copy(second / CONFIG, first / "aside")
    shutil.copy(first / CONFIG, second / CONFIG)
    (first / "aside").rename(first / CONFIG)  # both have their own configuration beside another trial's records
    assert read_trial(first).damage == [f"{EPOCHS}:1", f"{ATTEMPTS}:1", RESULT]
    assert (read_trial(second).epochs, read_trial(second).end) == ([], None)


def test_an_edited_configuration_is_not_believed(small: SmallStore, folders: list[Path]) -> None:
    (folders[0] / CONFIG).write_bytes(b'{"model":"resnet_preact_8","lr":0.3}\n')  # without a checksum
    assert (read_trial(folders[0]).damage, read_trial(folders[0]).epochs) == ([CONFIG], [])


def test_a_state_of_another_trial_is_not_used(small: SmallStore, folders: list[Path]) -> None:
    _, theirs, ours = folders
    for folder in (theirs, ours):
        with Ledger(folder, {}) as ledger:
            name = ledger.save_checkpoint(folder.name.encode())
            ledger.save_final_state(folder.name.encode())
    assert read_final_state(ours, ours.name, 1) == ours.name.encode()
    for file in (name, FINAL_STATE):
        shutil.copy(theirs / file, ours / file)
    assert read_final_state(ours, ours.name, 1) is None
    status, out, _ = small.answer(("verify", PLANNED))
    assert (status, out.count(f"{ours}/")) == (1, 2)
    with Ledger(ours, {}) as ledger:
        ledger.rewind()
        assert (ledger.checkpoint, ledger.damage) == (None, [name])


def test_no_changed_bit_of_a_checkpoint_is_believed(folders: list[Path]) -> None:
    with Ledger(folders[2], {}) as ledger:
        content = (folders[2] / ledger.save_checkpoint(b"state" * 20)).read_bytes()
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            assert parse_checkpoint(bytes(changed), folders[2].name) is None


def test_a_store_of_an_earlier_version_is_without_checksums(tmp_path: Path) -> None:
    old = SmallStore(LocalStore(unpack(tmp_path) / "store"), tmp_path)
    for sweep in ([], ["grid"], ["searched"]):
        status, out, err = old.answer(("verify", *sweep))
        assert (status, err) == (0, "")
        assert "without checksums" in out


def test_a_sweep_that_is_not_there(small: SmallStore) -> None:
    status, _, err = small.answer(("verify", "plannned"))
    assert (status, "planned" in err) == (2, True)


def test_a_bucket_is_read_and_left_to_run(s3: S3Server) -> None:
    store = open_store(f"s3://{s3.new_bucket()}/store")
    config = make_config()
    store.write_manifest(make_manifest([config], PLANNED))
    train(store, config, 2)
    assert (store.read_path(f"trials/{config.trial_key}/checkpoint-0") or b"").endswith(b"state")
    verified = verify(store)
    assert (verified.findings, verified.num_trainings, verified.num_unsealed) == ([], 1, 0)
    store.write(PLANNED, RUNS, b"{}\n")
    verified = verify(store, PLANNED)
    assert [finding.path for finding in verified.findings] == [f"{PLANNED}/{RUNS}:1"]
    with pytest.raises(UserError, match="in a bucket `run` repairs"):
        list(repair(store, PLANNED, verified))


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_lost_log_of_a_search_is_named_and_its_results_are_kept(small: SmallStore, is_empty: bool) -> None:
    log, tables = small.store.sweep_folder(SEARCHED) / SEARCH_LOG, small.store.sweep_folder(SEARCHED) / TRIALS_PARQUET
    before = tables.read_bytes()
    log.unlink()
    if is_empty:
        log.touch()
    for command in (("status",), ("export",), ("verify",), ("verify", "--repair")):
        status, out, err = small.answer((command[0], SEARCHED, *command[1:]))
        assert (status, f"{log} {LOST}: put it back" in out + err) == (1 if command[0] == "verify" else 2, True)
    assert "damaged" in small.answer(("list",))[1]
    assert f"{log} {LOST}" in small.answer(("plan", str(small.folder / "searched.yaml"), "--slots", "1"))[1]
    assert tables.read_bytes() == before
    assert repair_log(small.store, SEARCHED) == [f"{log} {LOST}: the search begins anew, and reuses what was trained"]


def test_a_search_that_was_never_begun_can_be_exported_again(small: SmallStore) -> None:
    small.store.write_manifest(make_manifest([], "unbegun", is_search=True))
    for command in ("export", "export", "status", "verify"):
        status, out, err = small.answer((command, "unbegun"))
        assert (status, LOST in out + err) == (0, False), out + err


def test_a_result_that_the_log_does_not_tell_of_is_left_to_run(small: SmallStore) -> None:
    log = small.store.sweep_folder(SEARCHED) / SEARCH_LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:8]))  # without the last epoch of a trial that has ended
    note = f"1 trial has a result that {SEARCH_LOG} does not tell of: `run` settles it"
    status, out, _ = small.answer(("status", SEARCHED))
    assert ("done     1 of 5 trials" in out, note in out) == (True, True)
    assert "done   1, 1 to resume" in small.answer(("plan", str(small.folder / "searched.yaml"), "--slots", "1"))[1]
    status, out, _ = small.answer(("verify", SEARCHED))
    assert (status, out.endswith(f"no damage\n{SEARCHED}: {note}\n")) == (0, True)


def test_the_log_of_another_search_is_not_believed(small: SmallStore) -> None:
    log, other = (small.store.sweep_folder(name) / SEARCH_LOG for name in (SEARCHED, "other"))
    small.store.write("other", SEARCH_LOG, log.read_bytes())
    assert f"{other}:1 is damaged" in (parse_log(small.store.search_log("other"))[1].damage or "")
    event = parse_log(small.store.search_log(SEARCHED))[0][0]
    other.unlink()
    SearchLog(small.store.search_log("other")).append([event])
    tables = log.with_name(TRIALS_PARQUET).read_bytes()
    shutil.copy(other, log)
    for command in (("status",), ("export",), ("verify",), ("verify", "--repair")):
        status, out, err = small.answer((command[0], SEARCHED, *command[1:]))
        assert (status, f"{log}:1 is damaged" in out + err) == (1 if command[0] == "verify" else 2, True)
    assert log.with_name(TRIALS_PARQUET).read_bytes() == tables


def test_lines_without_the_name_of_the_sweep_are_read_only_before_those_with_it(small: SmallStore) -> None:
    log = small.store.sweep_folder(SEARCHED) / SEARCH_LOG
    lines = log.read_bytes().splitlines(keepends=True)
    without = [sealed(unsealed(line, SEARCHED)) for line in lines]  # as earlier versions wrote them
    for mixed, num_events in ((without[:5] + lines[5:], len(lines)), (lines[:5] + without[5:], 5)):
        log.write_bytes(b"".join(mixed))
        assert len(parse_log(small.store.search_log(SEARCHED))[0]) == num_events
