"""What a space may name, and what Ray is told. (See also test_faults.py and test_running_sweep.py.)"""

import importlib
from pathlib import Path

import pytest

from tests.conftest import Cli


@pytest.mark.parametrize("name", ["../up", "/etc", "a/b", "..", "trials", ".hidden"])
def test_a_space_cannot_name_a_folder_outside_of_the_store(name: str, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "in").mkdir()
    space = tmp_path / "in" / "space.yaml"
    space.write_text(f"name: {name!r}\nrows: [{{lr: 0.1}}]\n")
    before = sorted(tmp_path.rglob("*"))
    for arguments in ([str(space)], [str(space), "--name", name]):
        done = cli("run", *arguments, "--store", str(tmp_path / "in" / "store"))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_tune_does_not_pass_credentials_on() -> None:
    """Ray writes a runtime environment into its logs."""
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    importlib.import_module("sweep.driver.tune_run")
    assert not [name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")]
