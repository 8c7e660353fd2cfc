"""Data sets that would give wrong numbers without a word are refused in one line."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import tune_main
from tests.integration_tests.fault_table import record, user_sees
from tests.trainable_tests.encoded_images import REFUSED, FolderSource, ParquetSource, Rows, rows, write_parquet

SORTED = rows([number // 10 for number in range(100)])
GOOD, STEPS = SORTED[::10], rows([0, 1000] * 1000)
FAULTS: Mapping[str, tuple[str, Mapping[str, Rows]]] = {
    "a part of a data set is missing": ("", {"train-00000-of-00002": GOOD, "test-00000-of-00001": GOOD}),
    "two configurations of a data set in one folder": (
        "",
        {"coarse/train-0": GOOD, "fine/train-0": GOOD, "test-0": GOOD},
    ),
    "a Parquet file without rows": ("", {"train-0": GOOD, "train-1": [], "test-0": GOOD}),
    "labels in steps of 1000": ("", {"train-0": STEPS, "test-0": GOOD[:2]}),
    "other images in a folder called cifar10": ("cifar10", {"train-0": GOOD, "test-0": GOOD}),
    "the first images of a data set that is sorted by class": ("", {"train-0": SORTED, "test-0": GOOD}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_data_sets_that_mislead_are_refused_in_one_line(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, files = FAULTS[fault]
    folder = tmp_path / "store" / name
    for file, content in files.items():
        write_parquet(folder / f"{file}.parquet", content)
    options = ["--set", "train_subset=20", "--data", str(folder), "--store", str(tmp_path / "none")]
    for command in ("plan", "run"):
        status = tune_main.main([command, "quickstart", *options])
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        record(fault, user_sees(error), status, "nothing is trained")
    assert not (tmp_path / "none").exists()


def test_a_row_with_only_the_path_of_its_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, folder = ParquetSource(), tmp_path / "store"
    source.write(folder, GOOD, GOOD)
    source.write_path(folder, "test", "cats/1.png")
    status = tune_main.main(["plan", "quickstart", "--data", str(folder), "--store", str(tmp_path / "none")])
    error = user_sees(capsys.readouterr().err)
    record("a row with only the path of its image", error, status, "nothing is trained")


@pytest.mark.parametrize(
    ("fault", "train", "test"),
    [
        ("one broken image in a folder of images", [*SORTED, (REFUSED["cut off"][0], 5)], GOOD),
        ("a test image of a class that no training image has", SORTED, [*GOOD, *rows([10], seed=1)]),
        ("a class without test images", SORTED * 3, rows(range(9), seed=1)),
        ("training images of a single class", rows([0] * 9), rows([0], seed=1)),
        ("test images that are training images, too", SORTED * 3, [*GOOD[:2], *rows(range(2, 10), seed=1)]),
        ("one image in two classes", [*SORTED * 3, (SORTED[0][0], 9)], rows(range(10), seed=1)),
    ],
)
def test_folders_of_images(
    fault: str, train: Rows, test: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FolderSource().write(tmp_path / "store", train, test)
    options = ["--set", "train_subset=null", "--set", "test_subset=null", "--store", str(tmp_path / "none")]
    status = tune_main.main(["plan", "quickstart", "--data", str(tmp_path / "store"), *options])
    output, error = capsys.readouterr()
    seen = user_sees(error if status else output, about="" if status else "note:")
    record(fault, seen, status, "nothing is trained" if status else "it is trained")


def test_two_files_whose_labels_are_in_different_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [label for _, label in GOOD]
    write_parquet(tmp_path / "store" / "train-0.parquet", GOOD * 30, fine_label=labels * 30)
    write_parquet(tmp_path / "store" / "test-0.parquet", GOOD, label=labels, fine_label=labels)
    options = ["plan", "quickstart", "--data", str(tmp_path / "store"), "--store", str(tmp_path / "none")]
    status = tune_main.main(options)
    fault = "two files whose labels are in different columns"
    record(fault, user_sees(capsys.readouterr().err), status, "nothing is trained")
    subsets = ["--set", "train_subset=null", "--set", "test_subset=null"]
    assert tune_main.main([*options, "--label", "fine_label", *subsets]) == 0
