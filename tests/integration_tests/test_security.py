"""What a running sweep offers to others on the network, and what a space may name. (See also test_faults.py.)"""

import importlib
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import family
from tests.conftest import Cli
from tests.integration_tests.running_sweeps import Start, wait_for_epochs

LISTEN = "0A"


def listening(pids: set[int]) -> Iterator[str]:
    """Addresses on which these processes accept TCP connections."""
    inodes = set()
    for pid in pids:
        try:
            links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:  # gone meanwhile
            continue
        inodes |= {str(link).removeprefix("socket:[").removesuffix("]") for link in links}
    for version in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{version}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTEN and inode in inodes:
                yield address(local.split(":")[0])


def address(digits: str) -> str:
    """As /proc/net/tcp writes it: words of four bytes, each in the machine's (little) order."""
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    found = ipaddress.ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found)


def test_addresses_are_read_as_the_kernel_writes_them() -> None:
    assert address("0100007F") == "127.0.0.1"
    assert address("00000000") == "0.0.0.0"  # noqa: S104
    assert address("00000000000000000000000001000000") == "::1"
    assert address("0000000000000000FFFF00000100007F") == "127.0.0.1"


@pytest.mark.ray
def test_ray_listens_on_this_machine_alone(tmp_path: Path, start: Start) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "defaults: {model: resnet_preact_8, epochs: 2000, train_subset: 64, test_subset: 20}\n"
        "rows: [{batch_size: 32}]\n"
    )
    driver = start(str(space), tmp_path / "store")
    wait_for_epochs(tmp_path / "store", 1)
    processes = family(driver.pid)
    found = set(listening(set(processes)))
    assert any("raylet" in title for title in processes.values())
    assert found, "no socket of Ray's was found: this test sees nothing"
    assert {one for one in found if not ipaddress.ip_address(one).is_loopback} == set()
    assert not [
        title for title in processes.values() if "dashboard.py" in title and "--disable-frontend" not in title
    ]


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

    importlib.import_module("search_spaces.tune_adapter")
    assert not [name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")]
