"""`run` refuses changes that would make a search another one, before it writes anything or starts Ray."""

import sys
from pathlib import Path

import pytest

import tune_main
from benchmarks.finished_sweep import write_finished_trials
from results.store.local_store import LocalStore
from results.store.manifest import MANIFEST, Manifest
from results.store.search_log import SEARCH_LOG
from tests.integration_tests.running_sweeps import search_on_digits
from tests.refusals import refused

NAME = "wide"
SPACE = f"""
name: {NAME}
defaults: {{model: resnet_preact_8, epochs: 9, batch_size: 16}}
search: {{algorithm: tpe, num_trials: 5}}
parameters: {{lr: {{min: 0.01, max: 3.2, distribution: log_uniform_values}}}}
"""
PLAIN = """
name: plain
defaults: {model: resnet_preact_8, epochs: 1, batch_size: 32}
grid: {lr: [0.05]}
"""
REFUSED = {
    "another range": (SPACE.replace("3.2", "1.6"), (), "parameters.lr.high was 3.2 and is 1.6 now"),
    "another default": (SPACE.replace("epochs: 9", "epochs: 8"), (), "defaults.epochs was 9 and is 8 now"),
    "another seed": (SPACE, ("--set", "seed=1"), "--set seed=1 is new"),
    "fewer trials": (SPACE.replace("5", "4"), (), "num_trials 5, which may grow: 4 is fewer"),
    "again": (SPACE, ("--again",), "--again: a search grows by a larger num_trials"),
    "extend": (SPACE, ("--extend",), "--extend: a search grows by a larger num_trials"),
    "a plain space": (PLAIN, ("--name", NAME), f"the sweep '{NAME}' in "),
    "a plain space, extended": (PLAIN, ("--name", NAME, "--extend"), f"the sweep '{NAME}' in "),
}


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the imports that lead to Ray fail."""
    monkeypatch.setitem(sys.modules, "sweep.driver.tune_run", None)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def store(space: Path, tmp_path: Path) -> LocalStore:
    """A store in which the search has proposed its first trial."""
    store = LocalStore(tmp_path / "store")
    manifest = Manifest(NAME, [], SPACE, {}, "code", is_search=True)
    with store.driving(manifest):
        search_on_digits(space, store).next()
    return store


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_make_it_another_is_refused(
    store: LocalStore, space: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    text, options, message = REFUSED[case]
    space.write_text(text)
    files = [store.sweep_folder(NAME) / name for name in (MANIFEST, SEARCH_LOG)]
    before = [path.read_bytes() for path in files]
    assert message in refused(["run", str(space), "--store", str(store.path), *options], capsys)
    assert [path.read_bytes() for path in files] == before


def test_the_search_itself_is_not_refused(store: LocalStore, space: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="tune_run"):
        tune_main.main(["run", str(space), "--store", str(store.path)])


def test_a_search_does_not_take_a_plain_sweeps_name(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = tmp_path / "plain.yaml"
    plain.write_text(PLAIN)
    write_finished_trials(plain, tmp_path / "store")
    assert tune_main.main(["run", str(plain), "--store", "store"]) == 0
    capsys.readouterr()
    assert refused(["run", str(space), "--name", "plain", "--store", "store"], capsys) == (
        "batchscape: the sweep 'plain' in store is rows or a grid: give this run another --name\n"
    )
