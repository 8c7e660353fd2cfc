"""Fixtures that several test folders share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.data.contract import ImageData, make_image_data

ROOT = Path(__file__).resolve().parent.parent
os.environ["BATCHSCAPE_FUSED"] = "off"  # no command of a test compiles the kernel; test_fused.py does it once
Cli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure() -> None:
    """Let Ctrl-C interrupt the tests, and those that send it, also where a shell's background job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long forms, unless they are asked for by their marker."""
    if "faults" not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker("faults")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def tiny_data() -> ImageData:
    """96 training and 32 test images of 3 classes, 32x32, that a network can tell apart."""
    random = np.random.RandomState(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count, dtype=np.int64) % 3
        images = random.randint(0, 120, (count, 32, 32, 3)).astype(np.uint8)
        images[np.arange(count), :, :, labels] += 100
        return images, labels

    return make_image_data("tiny", 3, split(96), split(32))


@pytest.fixture
def tiny_config(tiny_data: ImageData) -> TrainConfig:
    """Three epochs of the smallest network on `tiny_data`, in fp32."""
    config = TrainConfig(model="resnet_preact_8", epochs=3, batch_size=16, lr=0.05, precision="fp32")
    return config.for_dataset(*tiny_data.identity)


@pytest.fixture(scope="session")
def cifar_folder() -> Path:
    """Real images of CIFAR-10 in the Hugging Face layout; skips, and says so, where there are none."""
    folder = Path(os.environ.get("BATCHSCAPE_TEST_DATA", ROOT.parent / "shared" / "data" / "cifar10-jpeg"))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder}: set BATCHSCAPE_TEST_DATA to a folder of the Hugging Face layout")
    return folder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A server that answers, and the environment that leads to it."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run the command line as a user would, in an empty folder: `cli("table", "quickstart")`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "tune_main.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return run
