"""The exported folder can be uploaded as it is: both tables, and a card that explains every column."""

from pathlib import Path

import pyarrow.parquet as pq
import yaml

from results.parquet.data_card import data_card
from results.parquet.files import export_tables
from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA, meaning
from results.parquet.stamp import stamped
from tests.conftest import ROOT

EXAMPLE = ROOT / "results" / "examples" / "quickstart"


def card() -> str:
    return data_card(pq.read_table(EXAMPLE / "trials.parquet"), pq.read_table(EXAMPLE / "epochs.parquet"))


def test_every_column_is_explained() -> None:
    unexplained = [field.name for field in [*TRIALS_SCHEMA, *EPOCHS_SCHEMA] if len(meaning(field)) < 5]
    assert unexplained == []
    assert meaning(EPOCHS_SCHEMA.field("train_loss")) != meaning(TRIALS_SCHEMA.field("train_loss"))


def test_the_front_matter_names_both_tables() -> None:
    front = yaml.safe_load(card().split("---\n")[1])
    assert {config["config_name"]: config["data_files"] for config in front["configs"]} == {
        "trials": "trials.parquet",
        "epochs": "epochs.parquet",
    }
    assert front["pretty_name"] == "Batchscape sweep quickstart"


def test_the_card_says_what_is_in_the_tables() -> None:
    text = card()
    assert "9 trainings of image classifiers on digits" in text
    assert "90 epochs" in text
    assert "| `test_error_percent` | double? | Error on the test images after the last epoch, in percent" in text
    assert "batch_size: [16, 64, 256]" in text


def test_an_export_writes_the_card_beside_the_tables(tmp_path: Path) -> None:
    tables = pq.read_table(EXAMPLE / "trials.parquet"), pq.read_table(EXAMPLE / "epochs.parquet")
    for target in (str(tmp_path / "folder"), (tmp_path / "uri").as_uri()):
        export_tables(*tables, target)
    for folder in ("folder", "uri"):
        assert (tmp_path / folder / "README.md").read_text() == stamped(card() + "\n", *tables)
