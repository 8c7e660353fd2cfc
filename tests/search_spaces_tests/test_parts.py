"""Several parts in one space."""

from pathlib import Path

from tests.search_spaces_tests.space_samples import configs_of

PARTS = """
    defaults: {epochs: 3, batch_size: 16}
    rows: [{lr: 9}]
    parts:
      - defaults: {batch_size: 32, lr: 7}
        rows: [{lr: 1}, {epochs: 4}]
      - grid: {lr: [1, 2], batch_size: [64]}
"""


def test_the_space_comes_first_then_its_parts_each_on_its_own_defaults(tmp_path: Path) -> None:
    assert [(config.batch_size, config.lr, config.epochs) for config in configs_of(tmp_path, PARTS)] == [
        (16, 9, 3),
        (32, 1, 3),
        (32, 7, 4),
        (64, 1, 3),
        (64, 2, 3),
    ]


def test_parts_alone_are_a_space(tmp_path: Path) -> None:
    assert [config.lr for config in configs_of(tmp_path, "parts: [{rows: [{lr: 1}]}, {grid: {lr: [2]}}]")] == [1, 2]


def test_derive_reaches_into_parts(tmp_path: Path) -> None:
    text = """
        parts: [{defaults: {base_lr: 0.1}, grid: {batch_size: [128, 256]}}]
        derive: {lr: base_lr * batch_size / 128}
    """
    assert [config.lr for config in configs_of(tmp_path, text)] == [0.1, 0.2]


def test_set_goes_over_parts(tmp_path: Path) -> None:
    configs = configs_of(tmp_path, PARTS, {"batch_size": 8, "lr": 5})
    assert {(config.batch_size, config.lr) for config in configs} == {(8, 5)}
