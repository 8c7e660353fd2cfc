"""What `plan` says of a search: at most so much, since its trials are not known before."""

from pathlib import Path

import pytest

import tune_main

SPACE = """search: {algorithm: tpe, num_trials: 10}
defaults: {dataset: digits, model: resnet_preact_8, train_subset: 1000}
parameters:
  lr: {min: 0.01, max: 1.0}
  batch_size: {values: [16, 900]}
  epochs: {min: 2, max: 6}
confirm: {top: 2, repeats: 2}
"""


def planned(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, text: str = SPACE) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(text)
    assert tune_main.main(["plan", str(path), "--store", str(folder / "store"), *options]) == 0
    return capsys.readouterr().out.splitlines()


def test_epochs_and_images_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(tmp_path, capsys)
    assert lines[:3] == [
        "mine: a search of up to 10 trials on digits, none of them known before",
        f"  most   10 trials of 2 to 6 epochs: 60 epochs, {10 * 6 * 900:,} images if all go to the end",
        f"  then   up to 4 to confirm the best: 24 epochs, {4 * 6 * 1000:,} images",
    ]
    assert lines[3] == "  random 10 proposals drawn at random, all to the end, without confirmation, would take:"
    assert not (tmp_path / "store").exists()


def test_set_fixes_a_parameter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(tmp_path, capsys, "--set", "epochs=3", "--verbose")
    assert lines[1].startswith("  most   10 trials of 3 epochs: 30 epochs, 27,000 images")
    assert "  lr               0.01 to 1" in lines
    assert not any(line.startswith("  epochs ") for line in lines)


def test_a_batch_larger_than_the_data_is_told_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE.replace("900", "901"))
    assert tune_main.main(["plan", str(path)]) == 2
    assert "batch_size 901 is larger than the 900 training images of 'digits'" in capsys.readouterr().err


def test_an_unknown_data_set_has_unknown_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = planned(tmp_path, capsys, text=SPACE.replace("digits", "mine"))
    assert lines[1] == "  most   10 trials of 2 to 6 epochs: 60 epochs, images unknown if all go to the end"
    assert lines[-1] == "  time   unknown: how many images are trained on is not known, --data DIR tells"
