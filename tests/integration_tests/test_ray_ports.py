"""The attack: a process of this machine that does not know the token of a run turns to the ports of its Ray."""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration_tests.processes import family
from tests.integration_tests.running_sweeps import Start, end_of, wait_for_epochs

pytestmark = pytest.mark.ray
SPACE = """
defaults: {model: resnet_preact_8, epochs: 20000, train_subset: 64, test_subset: 20}
rows: [{batch_size: 32}]
"""
ATTACK = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError

try:
    gcs = GcsClient(address=sys.argv[1])
    classes = [key for key in gcs.internal_kv_keys(b"", namespace=b"fun") if key.startswith(b"ActorClass:")]
    gcs.internal_kv_put(classes[0], gcs.internal_kv_get(classes[0], namespace=b"fun"), True, namespace=b"fun")
    print("replaced")
except AuthenticationError:
    print("refused")
"""
"""Replaces the pickled class of an actor (here by itself): the next worker would run whatever is written."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: Ray puts sockets below it."""
    path = Path(tempfile.mkdtemp(prefix="bs", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def outcome_of_attack(address: str, **authentication: str) -> str:
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | authentication
    command = [sys.executable, "-c", ATTACK, address]
    done = subprocess.run(command, env=stranger, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def http_status(port: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    connection.request("POST", "/get_or_create_runtime_env")
    with contextlib.closing(connection):
        return connection.getresponse().status


def token_of(pid: int) -> str:
    """Return what only the user's own processes, and root's, may read."""
    variables = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    return dict(variable.split("=", 1) for variable in variables if "=" in variable)["RAY_AUTH_TOKEN"]


def files_with(text: str, *folders: Path) -> list[Path]:
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and text.encode() in path.read_bytes():
                found.append(path)
    return found


def command_lines_with(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text in (line := path.read_text(errors="replace")):
                found.append(line)
    return found


def test_only_who_knows_the_token_reaches_a_local_ray(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the environment turns authentication off, as it may for a cluster."""
    home, store, space = folder / "home", folder / "store", folder / "small.yaml"
    home.mkdir()
    space.write_text(SPACE)
    for name, value in {"HOME": str(home), "TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled"}.items():
        monkeypatch.setenv(name, value)
    driver = start(str(space), store)
    wait_for_epochs(store, 1)

    [session] = folder.glob("batchscape-*/ray/session_2*")
    ports = {path.name.rsplit("_", 1)[0]: path.read_text() for path in session.glob("*_port_*")}
    gcs = f"127.0.0.1:{ports['gcs_server_port']}"
    processes = family(driver.pid)
    [server] = [pid for pid, title in processes.items() if "/gcs_server " in title]
    token = token_of(server)
    assert len(token) == 64
    assert outcome_of_attack(gcs) == "refused"
    assert outcome_of_attack(gcs, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64) == "refused"
    assert outcome_of_attack(gcs, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token) == "replaced"
    assert http_status(ports["runtime_env_agent_port"]) == 401
    assert files_with(token, folder) == []
    assert command_lines_with(token) == []

    driver.send_signal(signal.SIGTERM)
    ended = end_of(driver)
    assert ended.returncode == 130
    assert token not in ended.stdout + ended.stderr
    assert files_with(token, folder) == []
    assert not (home / ".ray").exists()
