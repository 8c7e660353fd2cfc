"""CIFAR-10 in the original layout: a miniature of it, downloaded from a server on this machine."""

import contextlib
import functools
import gc
import hashlib
import http.server
import io
import pickle
import socketserver
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.malicious import Malicious
from trainable.data.cifar10 import FOLDER, cifar10_class, load_cifar10
from trainable.data.contract import ImageData
from trainable.data.sources import load_dataset
from trainable.errors import UserError

BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
TARBALL = "cifar-10-python.tar.gz"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def make_files() -> dict[str, bytes]:
    """Four images a batch, as rows of 1024 red, 1024 green and 1024 blue values."""
    random = np.random.RandomState(0)
    files = {}
    for name in [*BATCHES, "test_batch"]:
        rows = random.randint(0, 256, (4, 3072)).astype(np.uint8)
        labels = random.randint(0, 10, 4).tolist()
        files[name] = pickle.dumps({"data": rows, "labels": labels, "batch_label": name}, protocol=2)
    names = [f"class {number}" for number in range(10)]
    return files | {"batches.meta": pickle.dumps({"label_names": names}, protocol=2)}


FILES = make_files()


def make_tarball() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Silent."""


class Server:
    """Serves a folder on 127.0.0.1 and counts the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.num_requests = 0
        server = self

        class Counting(_Handler):
            def do_GET(self) -> None:
                server.num_requests += 1
                with contextlib.suppress(ConnectionError):  # torchvision first asks and hangs up
                    super().do_GET()

        handler = functools.partial(Counting, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{TARBALL}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / TARBALL).write_bytes(make_tarball())
    running = Server(folder)
    yield running
    running.stop()


@pytest.fixture
def dead_url() -> str:
    """An address at which nobody listens any more."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as listener:
        return f"http://127.0.0.1:{listener.server_address[1]}/{TARBALL}"


@pytest.fixture
def miniature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Server) -> Any:  # noqa: ANN401 (untyped)
    """torchvision's class with our address and checksums, in place of the original; and a cache of its own."""
    attributes = {
        "url": server.url,
        "tgz_md5": md5((server.folder / TARBALL).read_bytes()),
        "train_list": [[name, md5(FILES[name])] for name in BATCHES],
        "test_list": [["test_batch", md5(FILES["test_batch"])]],
        "meta": {"filename": "batches.meta", "key": "label_names", "md5": md5(FILES["batches.meta"])},
    }
    miniature_class = type("MiniatureCIFAR10", (cifar10_class(),), attributes)
    monkeypatch.setattr("trainable.data.cifar10.cifar10_class", lambda: miniature_class)
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return miniature_class


@pytest.fixture
def given(miniature: Any, tmp_path: Path) -> Path:  # noqa: ANN401
    """A folder of the user's that holds the data set."""
    folder = tmp_path / "given" / FOLDER
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder.parent


def check_content(data: ImageData) -> None:
    for images, labels, names in (
        (data.train_images, data.train_labels, BATCHES),
        (data.test_images, data.test_labels, ["test_batch"]),
    ):
        batches = [pickle.loads(FILES[name]) for name in names]  # noqa: S301 (written above)
        rows = np.concatenate([batch["data"] for batch in batches])
        planes = [rows[:, start : start + 1024].reshape(-1, 32, 32) for start in (0, 1024, 2048)]
        np.testing.assert_array_equal(images, np.stack(planes, axis=-1))
        assert labels.tolist() == [label for batch in batches for label in batch["labels"]]
    assert (data.name, data.num_classes) == ("cifar10", 10)


def refusal(root: Path | None) -> str:
    with pytest.raises(UserError) as caught:
        load_cifar10(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("miniature")
def test_it_is_downloaded_once_and_then_needs_no_server(server: Server) -> None:
    check_content(load_dataset("cifar10", None))
    num_requests = server.num_requests
    assert num_requests > 0
    (server.folder / TARBALL).unlink()
    check_content(load_dataset("cifar10", None))
    assert server.num_requests == num_requests


def test_a_folder_needs_no_server(given: Path, server: Server) -> None:
    check_content(load_dataset("cifar10", given))
    check_content(load_dataset("cifar10", given / FOLDER))
    assert server.num_requests == 0


def test_downloaded_and_given_are_the_same_data_set(given: Path) -> None:
    assert load_cifar10(given).fingerprint == load_cifar10(None).fingerprint


def test_a_tarball_put_there_by_hand_is_taken(
    miniature: Any,  # noqa: ANN401
    server: Server,
    dead_url: str,
    tmp_path: Path,
) -> None:
    miniature.url = dead_url
    assert f"put {TARBALL} into {tmp_path / 'cache' / 'downloads'}" in refusal(None)
    (tmp_path / "cache" / "downloads" / TARBALL).write_bytes((server.folder / TARBALL).read_bytes())
    check_content(load_cifar10(None))


def test_a_dead_server_is_one_line_with_its_address(miniature: Any, dead_url: str) -> None:  # noqa: ANN401
    miniature.url = dead_url
    assert f"cannot download CIFAR-10 from {dead_url}" in refusal(None)


@pytest.mark.usefixtures("miniature")
def test_a_missing_address_is_one_line(server: Server) -> None:
    (server.folder / TARBALL).unlink()
    refused = refusal(None)
    assert server.url in refused
    assert "404" in refused
    gc.collect()  # an answer that nobody closed would be noticed here, not in whichever test comes next


@pytest.mark.usefixtures("miniature")
@pytest.mark.parametrize("content", [make_tarball()[:-50], b"<html>log in first</html>", b""])
def test_a_tarball_with_another_checksum_is_refused_and_fetched_again(server: Server, content: bytes) -> None:
    good = (server.folder / TARBALL).read_bytes()
    (server.folder / TARBALL).write_bytes(content)
    assert server.url in refusal(None)
    (server.folder / TARBALL).write_bytes(good)
    check_content(load_cifar10(None))


def test_a_server_that_speaks_no_http_is_one_line(miniature: Any) -> None:  # noqa: ANN401
    class Garbage(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Garbage) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            miniature.url = f"http://127.0.0.1:{listener.server_address[1]}/{TARBALL}"
            assert miniature.url in refusal(None)
        finally:
            listener.shutdown()
            thread.join()


@pytest.mark.parametrize("name", list(FILES))
def test_a_missing_file_is_named(given: Path, name: str) -> None:
    (given / FOLDER / name).unlink()
    assert f"{given / FOLDER / name} is missing" in refusal(given)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_truncated_file_is_named(given: Path, name: str) -> None:
    path = given / FOLDER / name
    path.write_bytes(FILES[name][:-1])
    assert f"{path} is truncated or altered" in refusal(given)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
@pytest.mark.parametrize("downloaded", [False, True])
def test_an_altered_pickle_is_refused_before_it_is_opened(
    given: Path, tmp_path: Path, name: str, downloaded: bool
) -> None:
    root = given
    if downloaded:
        root = tmp_path / "cache" / "downloads"
        root.mkdir(parents=True)
        given.joinpath(FOLDER).rename(root / FOLDER)
    path = root / FOLDER / name
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    refused = refusal(None if downloaded else root)
    assert f"{path} is truncated or altered" in refused
    remedy = f"delete {path.parent} and run again" if downloaded else "fetch the data set again"
    assert remedy in refused
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("miniature")
def test_a_process_waits_while_another_unpacks(tmp_path: Path) -> None:
    import fcntl

    root = tmp_path / "cache" / "downloads"
    (root / FOLDER).mkdir(parents=True)  # the other one is unpacking
    answers: list[ImageData | UserError] = []

    def load() -> None:
        try:
            answers.append(load_cifar10(None))
        except UserError as error:
            answers.append(error)

    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=load)
        waiting.start()
        time.sleep(0.3)
        for name, content in FILES.items():
            (root / FOLDER / name).write_bytes(content)
    waiting.join()
    (answer,) = answers
    assert isinstance(answer, ImageData), answer
