"""A remote location: its files, its time limits, and the secrets that it must never show."""

import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.s3_server import SECRET, S3Server
from trainable.errors import UserError
from trainable.ledger import remote
from trainable.ledger.remote import Remote, RemoteError, in_parallel, mirror_folder, open_filesystem, without_options


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE_SECONDS", 0.1)


@pytest.fixture
def place(s3: S3Server) -> Remote:
    return Remote(f"s3://{s3.new_bucket()}/some prefix/deep", patience_seconds=20.0)


def test_files_come_back_until_they_are_deleted(place: Remote) -> None:
    assert place.read("a/file") is None
    assert place.stamp("a/file") is None
    place.write("a/file", b"content")
    place.write("b", b"")
    assert place.read("a/file") == b"content"
    assert place.read("b") == b""
    assert {name: stamp.size for name, stamp in place.stamps("").items()} == {"a/file": 7, "b": 0}
    assert place.stamps("a") == {"a/file": place.stamp("a/file")}
    assert place.folders() == ["a"]
    place.delete("a/file")
    place.delete("a/file")
    assert place.read("a/file") is None
    assert place.stamps("never") == {}


def test_the_characters_of_a_uri_s_own_syntax_can_be_part_of_a_prefix(s3: S3Server) -> None:
    uri = f"s3://{s3.new_bucket()}/x"
    Remote(f"{uri}%23y%3Fz").write("a", b"content")
    assert Remote(uri).read("a") is None
    assert Remote(f"{uri}%23y%3Fz").read("a") == b"content"


def test_what_is_larger_than_one_request_arrives_whole(place: Remote) -> None:
    content = bytes(range(256)) * 50_000
    place.write("large", content)
    assert place.read("large") == content


def test_a_folder_is_a_location_like_any_other(tmp_path: Path) -> None:
    """The same code works for whatever pyarrow can open."""
    place = Remote(tmp_path.as_uri())
    place.check()
    place.write("a/b/file", b"content")
    assert place.read("a/b/file") == b"content"
    assert list(place.stamps("a")) == ["a/b/file"]


def test_many_files_are_fetched_at_a_time(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []
    most = 0

    def read(name: str) -> bytes | None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        content = place.read(name)
        running.pop()
        return content

    names = [f"file-{number}" for number in range(40)]
    in_parallel(lambda name: place.write(name, name.encode()), names)
    assert in_parallel(read, names) == [name.encode() for name in names]
    assert 1 < most <= remote.MAX_REQUESTS


def test_a_connection_cannot_be_sent_to_another_process(place: Remote) -> None:
    with pytest.raises(TypeError, match="send its URI"):
        pickle.dumps(place)
    error = pickle.loads(pickle.dumps(RemoteError("s3://bucket", "no answer")))  # noqa: S301 (our own)
    assert (str(error), error.reason) == ("s3://bucket: no answer", "no answer")


@pytest.mark.parametrize("uri", [f"s3://key:{SECRET}@bucket/x", f"s3://key:sl/ash{SECRET}@bucket", "gs://a:b@c/d"])
def test_credentials_in_the_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UserError, match="leave the credentials out") as caught:
        Remote(uri)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://bucket?acl=public", "unknown option 'acl'"),
        ("s3:///prefix", "names no bucket"),
        ("nosuch://bucket/x", "nosuch://bucket/x: cannot be opened"),
        ("s3://bucket/x#y", "write %23 for '#'"),
        ("gs://bucket/x#y", "write %23 for '#'"),
        ("s3://bucket/x\ty", "control character"),
        ("s3://bucket/x?y", "unknown option 'y'"),
        ("gs://bucket/x?y", "Unexpected query parameter"),
        ("file:///tmp/x?y", "write %3F for '\\?'"),
        ("file:///tmp/x#y", "write %23 for '#'"),
    ],
)
def test_what_cannot_be_meant_is_refused(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_filesystem(uri)
    assert "\n" not in str(caught.value)


def test_google_without_credentials_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "METADATA_SERVER", "127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(RemoteError, match="gs://bucket/x: no credentials: run `gcloud auth"):
        open_filesystem("gs://bucket/x")
    open_filesystem("gs://anonymous@bucket/x")
    (tmp_path / remote.GOOGLE_CREDENTIALS).parent.mkdir(parents=True)
    (tmp_path / remote.GOOGLE_CREDENTIALS).write_text("{}")
    assert remote._has_google_credentials()


def test_the_endpoint_may_be_given_in_the_uri_and_is_not_shown(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    bucket = s3.new_bucket()
    uri = f"s3://{bucket}/x/?scheme=http&endpoint_override=127.0.0.1:{s3.port}"
    place = Remote(uri)
    place.check()
    place.write("file", b"content")
    assert s3.files(bucket)["x/file"] == b"content"
    assert place.shown == without_options(uri) == f"s3://{bucket}/x"


def test_another_endpoint_is_another_location(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://one")
    folder = mirror_folder("s3://bucket/x")
    assert mirror_folder("s3://bucket/y") != folder
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://two")
    assert mirror_folder("s3://bucket/x") != folder


def test_a_missing_bucket_is_named(s3: S3Server) -> None:
    with pytest.raises(RemoteError, match="s3://no-such-bucket/x: there is no bucket 'no-such-bucket'"):
        Remote("s3://no-such-bucket/x").check()
    with pytest.raises(RemoteError, match="no such bucket"):
        Remote("s3://no-such-bucket/x").write("file", b"")


def test_wrong_credentials_are_reported_at_once(place: Remote, s3: S3Server) -> None:
    place.write("file", b"")
    with s3.knowing_nobody():
        started = time.monotonic()
        actions: list[Callable[[], object]] = [
            place.check,
            lambda: place.read("file"),
            lambda: place.write("file", b""),
        ]
        for action in actions:
            with pytest.raises(RemoteError, match=r"access denied.*check the credentials") as caught:
                action()
            assert SECRET not in str(caught.value)
        assert time.monotonic() - started < 10
    assert place.read("file") == b""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over, taken = threading.Event(), []

        def accept() -> None:
            while not over.is_set():
                try:
                    taken.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()
        for connection in taken:
            connection.close()


def test_an_endpoint_without_a_server_is_reported_within_seconds(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(RemoteError, match=r"s3://bucket/x: no answer: check the network and AWS_ENDPOINT_URL$"):
        Remote("s3://bucket/x").check()
    assert time.monotonic() - started < 15


def test_a_server_that_says_nothing_is_not_waited_for(
    silent_port: int, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent_port}")
    monkeypatch.setattr(remote, "SILENCE_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(RemoteError, match="no answer"):
        Remote("s3://bucket/x").check()
    assert time.monotonic() - started < remote.ATTEMPTS * 0.5 + 2.0


def test_a_server_that_is_restarted_is_waited_for(place: Remote, s3: S3Server) -> None:
    place.write("file", b"content")
    s3.down()
    back = threading.Timer(0.7, s3.up)
    back.start()
    started = time.monotonic()
    assert place.read("file") == b"content"
    assert time.monotonic() - started > 0.5
    back.join()


def test_a_bucket_of_google_is_opened_without_a_request() -> None:
    assert open_filesystem("gs://anonymous@bucket/some/where/")[1] == "bucket/some/where"


def test_a_server_that_stays_away_is_waited_for_once(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Remote(f"s3://{s3.new_bucket()}", patience_seconds=1.5)
    pauses: list[float] = []
    sleep = time.sleep

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr("trainable.ledger.remote.time.sleep", pause)
    s3.down()
    try:
        with pytest.raises(RemoteError, match="no answer"):
            place.read("file")
        assert pauses in ([0.1], [0.1, 0.2], [0.1, 0.2, 0.4])
        pauses.clear()
        with pytest.raises(RemoteError, match="no answer"):
            place.read("file")
        assert pauses == []
    finally:
        s3.up()
    assert place.read("file") is None

    def answers_late() -> None:
        if not pauses:
            raise OSError("AWS Error NETWORK_CONNECTION")

    place._patiently(answers_late)
    assert pauses == [0.1]


def test_no_patience_in_a_hurry_costs_none_of_it_later(place: Remote, s3: S3Server) -> None:
    s3.down()
    with pytest.raises(RemoteError), place.hurried():
        place.read("file")
    back = threading.Timer(0.5, s3.up)
    back.start()
    assert place.read("file") is None
    back.join()
