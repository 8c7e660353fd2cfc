"""What a space may name, and what Ray is told. (See also test_ray_ports.py and test_store_faults.py.)"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli


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
    code = (
        "from sweep.driver import ray_environment; ray_environment.prepared(joins_cluster=False).__enter__()\n"
        "from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE\n"
        "print([name for name in ENV_VARS_TO_PROPAGATE if name.startswith('AWS_')], len(ENV_VARS_TO_PROPAGATE) > 0)"
    )
    assert in_fresh_interpreter(code) == "[] True"


def test_importing_the_driver_changes_neither_the_environment_nor_ray() -> None:
    """Only `prepared` changes them, and it keeps what the user has set."""
    code = """
import copy, importlib, logging, os, pkgutil
import ray
from ray import tune
from ray.tune.execution import class_cache

def state():
    return copy.deepcopy((
        dict(os.environ), class_cache.ENV_VARS_TO_PROPAGATE, class_cache.DEFAULT_ENV_VARS,
        ray._private.ray_constants.ENABLE_RAY_CLUSTER, ray._private.worker.print_to_stdstream,
        logging.getLogger("ray.tune").level,
    ))

before = state()
import sweep.driver
modules = [module.name for module in pkgutil.iter_modules(sweep.driver.__path__)]
for name in modules:
    importlib.import_module(f"sweep.driver.{name}")
importlib.import_module("trainable.tune_adapter")
assert {"ray_environment", "tune_run", "cluster", "trackers"} <= set(modules)
assert state() == before, "an import has changed something"
os.environ |= {"RAY_USAGE_STATS_ENABLED": "1", "PYTHONPATH": f".{os.pathsep}/there"}
with sweep.driver.ray_environment.prepared(joins_cluster=True):
    assert not [name for name in os.environ if name.startswith("RAY_AUTH_")]
    assert os.environ["PYTHONPATH"] == f"{os.getcwd()}{os.pathsep}/there"  # workers have another current folder
print(os.environ["RAY_USAGE_STATS_ENABLED"])
"""
    assert in_fresh_interpreter(code) == "1"


def test_each_ray_of_our_own_has_another_token_and_a_cluster_that_of_the_user() -> None:
    code = """
import os
from ray._raylet import AuthenticationMode, AuthenticationTokenLoader, get_authentication_mode
from sweep.driver.ray_environment import prepared

def seen():
    token = AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True)
    assert os.environ["RAY_AUTH_TOKEN"] == token
    return get_authentication_mode() == AuthenticationMode.TOKEN, token

os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "of the user"}
tokens = set()
for _ in range(2):
    with prepared(joins_cluster=False):
        is_demanded, token = seen()
        assert is_demanded
        assert len(token) == 64
        tokens.add(token)
    with prepared(joins_cluster=True):
        assert seen() == (False, "of the user")
os.environ["RAY_AUTH_MODE"] = "token"
with prepared(joins_cluster=True):
    assert seen() == (True, "of the user")
del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]
with prepared(joins_cluster=False):
    pass
assert not [name for name in os.environ if name.startswith("RAY_AUTH_")]
print(len(tokens))
"""
    assert in_fresh_interpreter(code) == "2"


def in_fresh_interpreter(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
