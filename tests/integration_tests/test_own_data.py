"""Data sets and models of the user's own, from the YAML file to the table; killed on the way, and resumed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cli
from tests.integration_tests.running_sweeps import OWN_MODEL, Start, end_of, tables, wait_for_epochs
from tests.trainable_tests.encoded_images import FolderSource, Rows, write_parquet
from tests.trainable_tests.own_code_samples import MODELS

pytestmark = [pytest.mark.ray, pytest.mark.faults]
SPACE = f"""
name: small
defaults: {{epochs: 8, batch_size: 16, lr: 0.05, precision: bf16}}
rows:
- {{model: {OWN_MODEL}}}
- {{model: plain.py:SmallCNN, model_args: {{width: 64}}}}
"""
"""A CNN with layers that the fast path does not know, and one without."""


def some_images(count: int, sizes: range) -> Rows:
    """Images of 3 colours whose sides are in `sizes`."""
    random = np.random.RandomState(count)
    encoded = []
    for number in range(count):
        pixels = random.randint(0, 120, (random.choice(sizes), random.choice(sizes), 3)).astype(np.uint8)
        pixels[:, :, number % 3] += 100
        encoded.append((Image.fromarray(pixels)._repr_png_() or b"", number % 3))
    return encoded


def image_folder(folder: Path) -> list[str]:
    FolderSource().write(folder, some_images(400, range(24, 41)), some_images(60, range(24, 41)))
    return []


def cifar100_lookalike(folder: Path) -> list[str]:
    for split, count in (("train", 400), ("test", 60)):
        images = some_images(count, range(32, 33))
        fine = [label for _, label in images]
        coarse = [label // 2 for label in fine]
        write_parquet(folder / f"{split}-00000-of-00001.parquet", images, fine_label=fine, coarse_label=coarse)
    return ["--label", "coarse_label"]


@pytest.mark.parametrize("write", [image_folder, cifar100_lookalike])
def test_from_yaml_to_table_killed_and_resumed(
    write: Callable[[Path], list[str]], tmp_path: Path, cli: Cli, start: Start
) -> None:
    folder, space = tmp_path / "mine", tmp_path / "small.yaml"
    options = ["--data", str(folder), *write(folder)]
    space.write_text(SPACE)
    (tmp_path / "plain.py").write_text(MODELS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = cli("run", str(space), "--store", str(whole), *options)
    assert done.returncode == 0, done.stderr
    driver = start(str(space), killed, *options)
    wait_for_epochs(killed, 4)
    driver.kill()
    end_of(driver)
    refused = cli("run", str(space), "--store", str(killed), "--name", "small")
    assert refused.returncode == 2
    assert " ".join(options) in refused.stderr
    done = cli("run", str(space), "--store", str(killed), *options)
    assert done.returncode == 0, done.stderr
    assert tables(killed) == tables(whole)
    trials, _ = tables(killed)
    assert trials["dataset"].to_pylist() == ["mine"] * 2
    assert trials["execution"].to_pylist() == ["eager autocast (GroupNorm)", "eager"]
    assert max(trials["test_error_percent"].to_pylist()) < 20.0
    table = cli("table", "small", "--store", str(killed))
    assert table.returncode == 0
    assert [line.split("|")[1].strip() for line in table.stdout.splitlines()[2:] if "|" in line] == ["SmallCNN"] * 2
