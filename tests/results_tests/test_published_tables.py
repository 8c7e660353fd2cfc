"""Published tables come back byte for byte, and the data agrees with an independent reading of them.

`seed_tables.md` holds the lines of the seed document that begin with a bar, copied by a script; a blank line
stands between two tables. `sequel_tables.md` holds the tables of the sequel in the same form.
"""

import csv
import json
import re
from pathlib import Path

import pytest

import tune_main
from models.names import display_name
from results.published.cells import FOLDER, LONGER_FILE, SEED_FILE, SEQUEL_FILE, published_cells, table_names
from results.published.tables import ALL, SEQUEL, published_rows, published_table
from tests.refusals import refused
from trainable.errors import UserError

SEED = (Path(__file__).parent / "seed_tables.md").read_text()
BLOCKS = [block.strip("\n") + "\n" for block in SEED.split("\n\n")]
SEQUEL_TABLES = (Path(__file__).parent / "sequel_tables.md").read_text()
SEQUEL_BLOCKS = [block.strip("\n") + "\n" for block in SEQUEL_TABLES.split("\n\n")]
TIME = re.compile(r"(?:(\d+)h)?(\d+)m")


def seed_numbers() -> list[list[str]]:
    """The values of every row of the copy, read without our code."""
    lines = [line for line in SEED.splitlines() if line and not line.startswith(("| Model", "|:"))]
    return [[value.strip() for value in line.split("|")[1:-1]] for line in lines]


def minutes(text: str) -> int:
    match = TIME.fullmatch(text)
    assert match is not None, text
    return 60 * int(match[1] or 0) + int(match[2])


@pytest.mark.parametrize(("name", "block"), [*zip(table_names(), BLOCKS, strict=True)])
def test_every_seed_table_comes_back(name: str, block: str) -> None:
    assert published_table(name, "markdown") == block


def test_all_tables_in_the_order_of_the_seed() -> None:
    assert len(BLOCKS) == 16
    assert published_table(ALL, "markdown") == SEED


@pytest.mark.parametrize(("name", "block"), [*zip(table_names(SEQUEL_FILE), SEQUEL_BLOCKS, strict=True)])
def test_every_table_of_the_sequel_comes_back(name: str, block: str) -> None:
    assert published_table(name, "markdown") == block


def test_the_sequel_has_133_rows_with_an_error_and_two_without(capsys: pytest.CaptureFixture[str]) -> None:
    cells = published_cells(SEQUEL_FILE)
    assert len(SEQUEL_BLOCKS) == 18
    assert len(cells) == 133
    assert sum(cell.num_runs == 3 for cell in cells) == 59
    assert len({cell.configuration for cell in cells}) == 109
    rows = json.loads(published_table(SEQUEL, "json"))
    assert [row["batch_size"] for row in rows if row["note"] == "not reported"] == [8192, 8192]
    assert sum(row["optimizer"] == "lars" for row in rows) == 28
    assert tune_main.main(["table", "published", SEQUEL]) == 0
    assert capsys.readouterr().out == SEQUEL_TABLES


def printed(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_all_91_rows_agree_with_the_copy() -> None:
    agreeing = 0
    for cell, line, values in zip(published_cells(), printed(SEED_FILE), seed_numbers(), strict=True):
        assert values[0] == display_name(cell.model)
        assert float(values[1 if len(values) == 4 else 5]) == cell.test_error_percent
        assert minutes(values[-1]) == cell.minutes
        if len(values) == 4:
            assert (values[2], line["lr_printed"], cell.num_runs) == (cell.paper, "", 3)
        else:
            assert [int(values[1]), float(values[2]), values[3], int(values[4])] == [
                cell.batch_size,
                cell.lr,
                cell.schedule,
                cell.epochs,
            ]
            assert (values[2], values[5], values[6]) == (line["lr_printed"], cell.error_printed, line["time_printed"])
        agreeing += 1
    assert agreeing == 91


@pytest.mark.parametrize("name", table_names(LONGER_FILE))
def test_the_further_tables_have_the_same_form(name: str) -> None:
    lines = published_table(name, "markdown").splitlines()
    assert lines[:2] == BLOCKS[1].splitlines()[:2]
    assert [[value.strip() for value in line.split("|")[1:-1]] for line in lines[2:]] == [
        [
            "ResNet-preact-20",
            str(cell.batch_size),
            line["lr_printed"],
            cell.schedule,
            str(cell.epochs),
            cell.error_printed,
            line["time_printed"],
        ]
        for cell, line in zip(published_cells(LONGER_FILE), printed(LONGER_FILE), strict=True)
        if cell.table == name
    ]
    assert {len(line) for line in lines} == {len(BLOCKS[1].splitlines()[0])}


def test_other_formats_hold_the_same_rows() -> None:
    header, *lines = published_table("initial_lr_64", "csv").splitlines()
    assert header.startswith("model,batch_size,lr,schedule,epochs")
    assert [line.split(",")[2] for line in lines] == ["0.4", "0.2", "0.1", "0.05"]
    assert len(published_rows(ALL)) == 91


def test_the_median_of_three_runs_has_no_mean() -> None:
    assert [row.mean_test_error_percent for row in published_rows("main")] == [None, None]


def test_an_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="did you mean 'initial_lr_64'"):
        published_table("inital_lr_64", "markdown")


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["table", "published", ALL]) == 0
    assert capsys.readouterr().out == SEED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "main"], "only `table published` takes the name of a table"),
        (["published", "main", "--mean"], "--mean"),
        (["published", "mian"], "did you mean 'main'?"),
    ],
)
def test_the_command_wants_one_table(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(["table", *arguments], capsys)
