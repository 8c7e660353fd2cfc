"""A real S3 server, moto's, in a process of its own; and what tests ask of it."""

import contextlib
import http.client
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

SECRET = "s3cr3t-that-nobody-may-write-down"  # noqa: S105 (of a server that lives for the tests)
SERVER = """
import sys
from moto.server import ThreadedMotoServer

port = 0
for command in sys.stdin:
    if command == "up\\n":
        server = ThreadedMotoServer(sys.argv[1], port, verbose=False)
        server.start()
        port = server.get_host_and_port()[1]
    else:
        server.stop()
    print(port, flush=True)
"""


class S3Server:
    """What it holds is kept while it is down."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.host = host
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=folder,
            text=True,
        )
        self.port = self.up()
        self._buckets = (f"bucket-{number}" for number in itertools.count())

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "a-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def up(self) -> int:
        return int(self._tell("up"))

    def down(self) -> None:
        self._tell("down")

    @contextlib.contextmanager
    def knowing_nobody(self) -> Iterator[None]:
        """Refuse all credentials within the block."""
        self._allow_requests("0")
        try:
            yield
        finally:
            self._allow_requests("inf")

    def _allow_requests(self, number: str) -> None:
        """Accept this number of requests without good credentials."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        connection.request("POST", "/moto-api/reset-auth", number, {"Content-Type": "text/plain"})
        assert connection.getresponse().status == 200
        connection.close()

    def stop(self) -> None:
        self._process.communicate()
        self._log.close()

    def filesystem(self) -> Any:  # noqa: ANN401 (pyarrow is untyped here)
        return pafs.S3FileSystem(
            access_key="a-key",
            secret_key=SECRET,
            endpoint_override=self.url,
            region="us-east-1",
            allow_bucket_creation=True,
        )

    def new_bucket(self) -> str:
        name = next(self._buckets)
        self.filesystem().create_dir(name)
        return name

    def names(self, folder: str) -> list[str]:
        """Paths below the folder (`bucket/prefix`)."""
        infos = self.filesystem().get_file_info(pafs.FileSelector(folder, recursive=True, allow_not_found=True))
        return [info.path[len(folder) + 1 :] for info in infos if info.type is pafs.FileType.File]

    def files(self, folder: str) -> dict[str, bytes]:
        """Path below the folder -> content; those that are deleted while it looks are left out."""
        filesystem, found = self.filesystem(), {}
        for name in self.names(folder):
            with contextlib.suppress(FileNotFoundError):
                found[name] = filesystem.open_input_stream(f"{folder}/{name}").read()
        return found

    def _tell(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()
