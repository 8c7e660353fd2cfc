"""The HTTP server of the pages: GET and HEAD only, and nothing that is asked for can change a store."""

import errno
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from sweep.serving.access import Access
from sweep.serving.board import Board
from sweep.serving.pages import STATIC, list_page, sweep_page
from sweep.serving.reports import Reports
from sweep.serving.sweep_watch import SweepWatch
from sweep.status.logs import trial_text
from trainable.errors import UserError
from trainable.wording import one_line, printable

MAX_PORT = 65_535
POLLS_PER_SECOND = 20.0
"""Largest number of polls that all open pages together are asked to make."""
IDLE_SECONDS = 75.0
"""Time after which the connection of a silent client is closed."""
NEXT_POLL = "Next-Poll"
"""Header of an answer that says after how many seconds the page may ask again."""
TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
OWN_PAGES = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORTS = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
"""A report comes from the store: its scripts run apart from our pages, and reach no network."""
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageServer(ThreadingHTTPServer):
    """Serves the pages of a board until it is told to stop."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, board: Board, host: str, port: int) -> None:
        """
        Raises:
            UserError: the port is in use, or the address is none of this machine.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UserError(_why(error, host, port)) from None
        self.board = board
        self.access = Access(host, self.server_port)
        self.reports = Reports()
        self._polls = threading.Lock()
        self._next_poll_at = 0.0

    def server_bind(self) -> None:
        """Bind without asking for this machine's name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        name, self.server_port = self.server_address[:2]
        self.server_name = str(name)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that have gone."""

    @property
    def url(self) -> str:
        """Where a browser finds the list of sweeps, with the token if there is one."""
        host = self.server_name
        if host in ("0.0.0.0", "::"):  # noqa: S104 (compared only)
            host = socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        token = f"?token={self.access.token}" if self.access.token else ""
        return f"http://{shown}:{self.server_port}/{token}"

    def seconds_to_next_poll(self, shortest: float) -> float:
        """Return after how many seconds a page may ask again, so that all pages together do not ask too often."""
        with self._polls:
            now = time.monotonic()
            self._next_poll_at = max(now + shortest, self._next_poll_at + 1 / POLLS_PER_SECOND)
            return self._next_poll_at - now


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < MAX_PORT else port - 1
        return f"port {port} is in use: add --port {other}, or --port 0 for any free one"
    if error.errno == errno.EACCES:
        return f"port {port} is for the administrator: add --port 8642"
    return f"cannot listen at {host}: give an address of this machine with --host ({error.strerror})"


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        given = query["token"][-1] if "token" in query else None
        refusal = self.server.access.refusal(
            self.headers.get("Host", ""), "; ".join(self.headers.get_all("Cookie", [])), given
        )
        if refusal is not None:
            self._send(HTTPStatus.FORBIDDEN, f"{refusal}\n".encode())
        elif self.server.access.is_token(given):
            self._redirect(url.path, {"Set-Cookie": self.server.access.cookie_header()})
        else:
            try:
                self._answer(url.path, query.get("after", [""])[-1])
            except (UserError, OSError) as error:
                if isinstance(error, ConnectionError | TimeoutError):
                    raise
                self._send(HTTPStatus.NOT_FOUND, f"{printable(str(error))}\n".encode(errors="replace"))
            except Exception as error:  # one page that cannot be made leaves the others
                text = f"{printable(one_line(error))}\n".encode(errors="replace")
                self._send(HTTPStatus.INTERNAL_SERVER_ERROR, text)

    def _refuse(self) -> None:
        self.close_connection = True  # a body may follow
        text = b"this server answers GET and HEAD only\n"
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, text, headers={"Allow": "GET, HEAD"})

    def _answer(self, path: str, after: str) -> None:
        board = self.server.board
        parts = [unquote(part) for part in path.split("/")[1:]]
        if parts == [""]:
            self._send(HTTPStatus.OK, list_page(board.facts()), HTML, {"Content-Security-Policy": OWN_PAGES})
        elif parts == ["data"]:
            self._send_changes(board.changes_since(after), min(store.seconds for store in board.stores))
        elif len(parts) == 2 and parts[0] == "static" and parts[1] in STATIC:
            content, kind = STATIC[parts[1]]
            self._send(HTTPStatus.OK, content, kind, {"Cache-Control": "max-age=31536000, immutable"})
        elif len(parts) >= 2 and parts[0].isdecimal() and 0 < int(parts[0][:9]) <= len(board.stores):
            served = board.stores[int(parts[0][:9]) - 1]
            watch = served.watch(parts[1])
            if watch is None:
                text = f"no sweep {parts[1]!r} in {served.store.location()}: see the list at /"
                is_poll = parts[2:] == ["data"]  # of a page that is open: its sweep was there, and was deleted
                status = HTTPStatus.GONE if is_poll else HTTPStatus.NOT_FOUND
                self._send(status, f"{printable(text)}\n".encode(errors="replace"))
            elif len(parts) == 2:
                self._redirect(f"{path}/")
            elif parts[2:] == ["data"]:
                self._send_changes(watch.changes_since(after), served.seconds)
            else:
                self._answer_sweep(served.number, parts[1], parts[2:], watch)
        else:
            raise UserError("there is no such page: see the list at /")

    def _answer_sweep(self, number: int, sweep: str, rest: list[str], watch: SweepWatch) -> None:
        served = self.server.board.stores[number - 1]
        if rest == [""]:
            page = sweep_page(watch.facts(), served.store.location())
            self._send(HTTPStatus.OK, page, HTML, {"Content-Security-Policy": OWN_PAGES})
        elif rest == ["report"]:
            report = self.server.reports.page(served.store, served.option, sweep)
            self._send(HTTPStatus.OK, report, HTML, {"Content-Security-Policy": REPORTS})
        elif len(rest) == 2 and rest[0] == "logs" and rest[1] in watch.trial_keys():
            text = trial_text(served.store, rest[1])
            self._send(HTTPStatus.OK, f"{text}\n".encode(errors="replace"))
        else:
            raise UserError("there is no such page of the sweep: see the list at /")

    def _send_changes(self, changes: bytes | None, shortest: float) -> None:
        seconds = {NEXT_POLL: f"{self.server.seconds_to_next_poll(shortest):.1f}"}
        self._send(HTTPStatus.NO_CONTENT if changes is None else HTTPStatus.OK, changes or b"", JSON, seconds)

    def _redirect(self, path: str, headers: dict[str, str] | None = None) -> None:
        to = "/" + quote(unquote(path).lstrip("/"))  # two slashes would lead to another host
        self._send(HTTPStatus.SEE_OTHER, headers={"Location": to} | (headers or {}))

    def _send(
        self, status: HTTPStatus, content: bytes = b"", kind: str = TEXT, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        policy = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
        for name, value in (HEADERS | policy | {"Content-Type": kind} | (headers or {})).items():
            self.send_header(name, value)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        """Do not tell the versions of Python and its server."""
        return "batchscape"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (named so in the base class)
        """Write no log."""


_Handler.do_HEAD = _Handler.do_GET  # type: ignore[attr-defined]
for _method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(_Handler, f"do_{_method}", _Handler._refuse)


def serving_text(server: PageServer) -> str:
    """Say where the pages are."""
    if server.access.token:
        return f"serving {server.url} (whoever has this URL sees the sweeps)"
    port = server.server_port
    return f"serving {server.url} (on this machine; from elsewhere: ssh -L {port}:localhost:{port} HOST)"
