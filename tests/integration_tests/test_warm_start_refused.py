"""A search that cannot begin with what it names is refused by `run` and `plan`, before anything is written."""

from pathlib import Path

import pytest

import tune_main
from tests.refusals import refused
from tests.results_tests.searched_stores import SWEEP, write_search

SPACE = """
name: warm
defaults: {{model: resnet_preact_20, epochs: 2}}
search: {{algorithm: tpe, num_trials: 5, warm_start: {source}}}
parameters:
  base_lr: {{min: {low}, max: 3.2, distribution: log_uniform_values}}
  batch_size: {{values: [32, 64, 128]}}
derive: {{lr: base_lr * batch_size / 128}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the store of a search that has ended."""
    write_search(tmp_path / "store")
    return tmp_path


def warm(folder: Path, source: object, low: float = 0.01) -> list[str]:
    """The space that begins with this, and where the store is."""
    path = folder / "warm.yaml"
    path.write_text(SPACE.format(source=source, low=low))
    return [str(path), "--store", str(folder / "store")]


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("source", "low", "message"),
    [
        ("tunes", 0.01, "search.warm_start: no sweep 'tunes' in {store}: did you mean '{sweep}'?"),
        ("warm", 0.01, "search.warm_start: no sweep 'warm' in {store}: valid: {sweep}"),
        ("{store}/../warm.yaml", 0.01, "search.warm_start: '{store}/../warm.yaml' cannot name a sweep: "),
        ("{store}/no.parquet", 0.01, "search.warm_start: cannot read {store}/no.parquet: "),
        (
            "{store}/{sweep}/epochs.parquet",
            0.01,
            "epochs.parquet is not a trials.parquet of a sweep: name one, or a sweep",
        ),
        (SWEEP, 3.1, "search.warm_start {sweep}: none of its 5 results lies inside the space: "),
    ],
)
def test_what_it_cannot_begin_with_is_refused_and_leaves_no_trace(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, source: str, low: float, message: str
) -> None:
    store = folder / "store"
    (store / SWEEP / "sweep.json").touch()
    names = {"store": store, "sweep": SWEEP}
    before = sorted(store.rglob("*"))
    told = refused([command, *warm(folder, source.format(**names), low)], capsys)
    assert message.format(**names) in told
    assert sorted(store.rglob("*")) == before


def test_plan_says_with_how_many_results_it_begins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["plan", *warm(folder, SWEEP)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"  start  5 earlier results of {SWEEP}"
    assert tune_main.main(["plan", *warm(folder, SWEEP, low=0.2)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "note: 2 of 5 earlier results lie inside the space and are used"
    assert lines[1] == f"  start  2 earlier results of {SWEEP}"
