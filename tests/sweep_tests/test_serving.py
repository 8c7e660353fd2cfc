"""The pages of `serve`, asked for over a real socket: what they show, who may see them, that nothing is written."""

import dataclasses
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.parquet.stamp import stamped
from results.store import lease
from results.store.local_store import LocalStore
from results.store.opening import open_store
from results.store.store import Store
from sweep.runs import RunStart, append_run
from sweep.serving import sweep_watch
from sweep.serving.board import Board
from sweep.serving.paced import Paced
from sweep.serving.server import PageServer
from tests.results_tests.result_samples import (
    START,
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from tests.results_tests.store_samples import train
from tests.s3_server import S3Server
from trainable.ledger.remote import Remote
from trainable.ledger.trial_log import log_name
from trainable.records import Status

CONFIGS = [make_config(epochs=4, lr=lr) for lr in (0.1, 0.2, 0.4)]
DONE, BEGUN, FAILED = (config.trial_key for config in CONFIGS)
MARKUP = "<img src=x onerror=alert(1)>&\"'"


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:  # noqa: ANN401 (JSON)
        return json.loads(self.body)


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    answer = Answer(response.status, dict(response.getheaders()), response.read())
    connection.close()
    return answer


@contextmanager
def served(*stores: Store, host: str = "127.0.0.1", option: str = "") -> Iterator[PageServer]:
    """A server in this process that looks at its stores for each request."""
    board = Board(stores, [option or store.location() for store in stores])
    with PageServer(board, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks again."""
    monkeypatch.setattr(Paced, "_is_due", lambda self: True)


def make_store(folder: Path) -> LocalStore:
    """A sweep of three trials: one is done, one was interrupted, one failed."""
    store = LocalStore(folder / "store")
    store.write_manifest(make_manifest(CONFIGS))
    write_trial(store, CONFIGS[0], [make_epoch(epoch, 20.0) for epoch in range(1, 5)], make_end(Status.COMPLETE, 4))
    write_trial(store, CONFIGS[1], [make_epoch(1, 50.0)], sweep="sweep")
    write_trial(store, CONFIGS[2], [], make_end(Status.FAILED, 0, error=f"ValueError: {MARKUP}"))
    (store.trial_folder(FAILED) / log_name(1)).write_text(f"what it printed: {MARKUP}\n")
    return store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return make_store(tmp_path)


@pytest.fixture
def server(store: LocalStore) -> Iterator[PageServer]:
    with served(store) as server:
        yield server


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file and folder; a file that was made and deleted changes its folder's time."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


def test_list_and_page_tell_how_far_the_sweep_is(server: PageServer) -> None:
    listed, page = ask(server, "/").text, ask(server, "/1/sweep/").text
    assert '<a href="/1/sweep/">sweep</a>' in listed
    for text in (listed, page):
        assert "unfinished" in text
        assert "1 of 3" in text
        assert "lr=0.1: test error 20.00 %" in text
    assert "2 trials, 1 interrupted" in page
    assert "about 18s" in page  # 3 + 4 epochs of 2.5 s, one trial at a time
    data = ask(server, "/1/sweep/data").json["page"]
    keys = data["trials"]["key"]
    assert dict(zip(keys, data["trials"]["lr"], strict=True)) == {DONE: 0.1, BEGUN: 0.2, FAILED: 0.4}
    curves = dict(zip(keys, data["curves"]["test_error_percent"], strict=True))
    assert curves == {DONE: [20.0] * 4, BEGUN: [50.0], FAILED: []}
    assert sorted(data["trials"]["status"]) == ["complete", "failed", "interrupted"]


def test_only_what_changed_is_sent_again(server: PageServer, store: LocalStore) -> None:
    train(store, CONFIGS[1], 2)
    first = ask(server, "/1/sweep/data").json
    keys = first["page"]["trials"]["key"]
    again = f"/1/sweep/data?after={first['live']['version']}"
    unchanged = ask(server, again)
    assert (unchanged.status, unchanged.body) == (204, b"")
    assert float(unchanged.headers["Next-Poll"]) > 0
    train(store, CONFIGS[1], 3)
    second = ask(server, again).json
    assert second["page"]["only"] == [keys.index(BEGUN)]
    assert second["page"]["trials"]["key"] == keys
    assert second["page"]["trials"]["epochs_done"] == [3]
    assert second["page"]["curves"]["epochs"] == [[1, 2, 3]]
    assert "7 of 12" in second["live"]["html"]
    assert ask(server, f"/1/sweep/data?after={second['live']['version']}").status == 204
    for unknown in ("0", "x-1", "", second["live"]["version"].replace("-", "0-")):  # of a server before this one
        assert "only" not in ask(server, f"/1/sweep/data?after={unknown}").json["page"]


def test_a_run_that_begins_later_is_followed(server: PageServer, store: LocalStore) -> None:
    assert "not running" not in ask(server, "/1/sweep/").text
    with store.driving(make_manifest([*CONFIGS, make_config(epochs=4, lr=0.8)]), make_attempt().run_id):
        assert "running" in ask(server, "/1/sweep/data").json["page"]["trials"]["status"]
        append_run(store, "sweep", RunStart("again", START))
        assert "running" in ask(server, "/1/sweep/").text
        assert "1 of 4" in ask(server, "/1/sweep/").text
    again = "<code>python tune_main.py run</code> with the same space trains the 3 trials that are left"
    assert f"no driver is running: {again}" in ask(server, "/1/sweep/").text


def test_nothing_is_written_and_no_lock_taken(server: PageServer, store: LocalStore) -> None:
    # a driver of another machine, whose age a look tells by a file that it writes
    record = {"run_id": "r", "host": "h", "machine": "elsewhere", "process": "1 1", "heartbeat": ""}
    (store.sweep_folder("sweep") / "lock.json").write_text(json.dumps(record))
    before = tree(store.path)
    for path in ("/", "/data", "/1/sweep/", "/1/sweep/data", f"/1/sweep/logs/{FAILED}", "/1/sweep/report"):
        ask(server, path)
    assert "running" in ask(server, "/1/sweep/").text
    assert tree(store.path) == before


def test_logs_of_trials_of_the_sweep_only(server: PageServer, store: LocalStore) -> None:
    answer = ask(server, f"/1/sweep/logs/{FAILED}")
    assert f"what it printed: {MARKUP}" in answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    other = make_config(epochs=9)
    write_trial(store, other, [])
    assert ask(server, f"/1/sweep/logs/{other.trial_key}").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/static/../serve.css",
        "/static/..%2f__init__.py",
        "/1/..%2f..%2fetc/",
        "/1/../",
        "/1/trials/",
        "/1/sweep/../../trials",
        "/1/sweep/logs/..",
        "/1/sweep/logs/..%2f..%2fstore.json",
        "/1/sweep/sweep.json",
        "/0/sweep/",
        "/2/sweep/",
        "/99999999999999999999/sweep/",
        "/²/sweep/",
        "/1/sweep/%00",
        "//evil.example/",
        "/1/none/",
    ],
)
def test_no_path_leads_out_of_the_pages(server: PageServer, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection._encode_request = lambda request: request.encode("latin-1")  # type: ignore[attr-defined]
    connection._validate_path = lambda url: None  # type: ignore[attr-defined]
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404
    assert answer.read().count(b"\n") == 1
    connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_than_get_and_head_are_refused(server: PageServer, method: str) -> None:
    answer = ask(server, "/1/sweep/", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/1/sweep/data", 200), ("/1/sweep", 303), ("/none", 404)])
def test_head_is_answered_as_get_without_a_body(server: PageServer, path: str, status: int) -> None:
    got, head = ask(server, path), ask(server, path, "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (status, b"", str(len(got.body)))


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8642", "LocalHost"])
def test_the_names_of_this_machine_are_served(server: PageServer, host: str) -> None:
    assert ask(server, "/", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8642", "10.0.0.1", "", "evil@localhost"],
)
def test_a_name_that_another_site_points_here_is_refused(server: PageServer, host: str) -> None:
    answer = ask(server, "/data", Host=host)
    assert (answer.status, answer.text.count("\n")) == (403, 1)


def test_another_address_asks_for_the_token(store: LocalStore) -> None:
    with served(store, host="0.0.0.0") as server:  # noqa: S104 (that is the point)
        token = server.access.token
        assert len(token) >= 40
        assert server.url.endswith(f":{server.server_port}/?token={token}")
        for path in (
            "/",
            "/data",
            "/1/sweep/",
            "/static/live.js",
            f"/?token={token[:-1]}",
            "/?token=",
            "/?token=%ff",
        ):
            answer = ask(server, path)
            assert (answer.status, answer.text.count("\n")) == (403, 1)
        assert ask(server, "/", Cookie=f"batchscape-{server.server_port}=").status == 403
        opened = ask(server, f"/1/sweep/?token={token}")
        assert (opened.status, opened.headers["Location"]) == (303, "/1/sweep/")
        cookie = opened.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite" in cookie
        kept = f'other="x; y=[1]; {cookie.partition(";")[0]}'
        assert ask(server, "/1/sweep/data", Cookie=kept, Host="any.example").status == 200
        assert "://" not in ask(server, f"//evil.example/?token={token}").headers["Location"].removeprefix("/")
        assert token not in ask(server, "/", Cookie=kept).text
    with served(store, host="0.0.0.0") as server:  # noqa: S104
        assert server.access.token != token


def test_markup_of_the_store_is_text_on_the_pages(server: PageServer, store: LocalStore) -> None:
    (store.path / "trials" / MARKUP).mkdir()
    store.write("other", "sweep.json", b"{}")
    (store.path / MARKUP).mkdir()
    (store.path / MARKUP / "sweep.json").write_text("{}")
    for path in ("/", "/1/sweep/"):
        assert "<img" not in ask(server, path).text
    assert "&lt;img src=x onerror=alert(1)&gt;" in ask(server, "/1/sweep/").text
    policy = ask(server, "/1/sweep/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy


def test_the_stored_report_is_served_apart_from_the_pages(server: PageServer, store: LocalStore) -> None:
    tables = Collector(store, store.manifest("sweep")).tables()
    write_tables(*tables, store, "sweep")
    stored = stamped("<p>stored</p>\n", *tables).encode()
    store.write("sweep", "report.html", stored)
    answer = ask(server, "/1/sweep/report")
    assert (answer.status, answer.body) == (200, stored)
    assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-scripts ")
    assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]


def test_a_bucket_is_only_read(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.new_bucket()
    uri = f"s3://{bucket}"
    store = open_store(uri)
    store.write_manifest(make_manifest(CONFIGS))
    train(store, CONFIGS[0], 4, Status.COMPLETE)
    train(store, CONFIGS[1], 1)
    monkeypatch.setattr(lease, "TIMING", lease.Timing(settle=0.0))
    with store.driving(store.manifest("sweep")), served(open_store(uri)) as server, monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise AssertionError("written")

        patch.setattr(Remote, "write", refuse)
        patch.setattr(Remote, "delete", refuse)
        page = ask(server, "/1/sweep/").text
        assert "running" in page
        assert "1 of 3" in page
        assert set(ask(server, "/1/sweep/data").json["page"]["trials"]["key"]) == {DONE, BEGUN}
    with served(open_store(uri)) as server:
        assert "1 of 3" in ask(server, "/1/sweep/").text
        with s3.knowing_nobody():
            page = ask(server, "/1/sweep/").text
        assert "access denied" in page
        assert "1 of 3" in page


def test_many_pages_ask_less_often(server: PageServer) -> None:
    waits = [server.seconds_to_next_poll(2.0) for _ in range(300)]
    assert waits[0] == pytest.approx(2.0, abs=0.1)
    assert waits[-1] == pytest.approx(2.0 + 299 / 20, abs=0.5)


def test_rows_are_forgotten_when_nobody_looks(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(server, "/1/sweep/data").json
    monkeypatch.setattr(sweep_watch, "KEPT_SECONDS", -1.0)
    ask(server, "/")
    again = ask(server, f"/1/sweep/data?after={first['live']['version']}").json
    assert again["page"] == first["page"]


def test_port_in_use_and_foreign_address_are_one_line(
    server: PageServer, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["serve", "--store", store.location(), "--port"]
    assert tune_main.main([*command, str(server.server_port)]) == 2
    assert capsys.readouterr().err == (
        f"batchscape: port {server.server_port} is in use: add --port {server.server_port + 1}, or --port 0 for any "
        "free one\n"
    )
    assert tune_main.main(["run", "quickstart", "--serve", str(server.server_port)]) == 2
    assert "in use: add --serve" in capsys.readouterr().err
    assert tune_main.main([*command, "0", "--host", "203.0.113.7"]) == 2
    assert "give an address of this machine with --host" in capsys.readouterr().err
    assert tune_main.main([*command, "70000"]) == 2
    assert "must be a port from 0 to 65535" in capsys.readouterr().err
