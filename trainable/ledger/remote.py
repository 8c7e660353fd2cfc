"""Remote storage such as s3://bucket/prefix, or any other URI that pyarrow opens. Nothing else talks to it.

The file system finds its credentials itself (for S3 in the environment, a profile or the role of the machine). A
pickled pyarrow file system contains them, so other processes are sent the URI and open it themselves.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.fs as pafs

from trainable.cache_folder import cache_folder, home_folder
from trainable.errors import UserError
from trainable.wording import first_line

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 5.0
"""Seconds that a server may stay silent."""
ATTEMPTS = 2
"""Number of times that the client itself tries a request."""
PATIENCE_SECONDS = 90.0
"""Seconds for which a request is repeated if there is no answer; the restart of a server must not cost a trial."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
MAX_REQUESTS = 16
"""Number of requests at the same time."""
OBJECT_STORES = ("s3", "gcs")
"""Names in pyarrow of file systems that have buckets, and no folders that would have to be created."""
S3_OPTIONS = ("endpoint_override", "region", "scheme")
DENIED = {
    "ACCESS_DENIED",
    "EXPIRED_TOKEN",
    "INCOMPLETE_SIGNATURE",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "NOT_INITIALIZED",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
}
"""AWS error codes after which repeating a request is of no use."""
MAX_REASON_LENGTH = 200
GOOGLE_CREDENTIALS = ".config/gcloud/application_default_credentials.json"
METADATA_SERVER, METADATA_SECONDS = "169.254.169.254", 1.0
"""Address at which machines in Google's cloud ask for credentials, and time in which it answers."""
NO_GOOGLE_CREDENTIALS = (
    "no credentials: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the key "
    "file of a service account"
)

_AWS_ERROR = re.compile(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))?")
Item = TypeVar("Item")
Result = TypeVar("Result")


class RemoteError(UserError):
    """The remote storage does not answer, or refuses."""

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(location, reason)  # both, since workers send it pickled
        self.reason = reason

    def __str__(self) -> str:
        return ": ".join(self.args)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Identifies one version of a file."""

    size: int
    mtime_ns: int
    """Time of the last change, by the server's clock."""


def is_uri(location: str) -> bool:
    """Return whether the location of a store is a URI, not a path."""
    return "://" in location


def without_options(uri: str) -> str:
    """Return the URI without its query, for messages."""
    return urlunsplit(urlsplit(uri)._replace(query="", fragment="")).rstrip("/")


def mirror_folder(uri: str) -> Path:
    """Return the folder of this machine for copies of the remote files; it depends on the URI and the endpoint."""
    identity = f"{uri}\n{_endpoint_of_environment()}"
    return cache_folder() / "stores" / hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16]


def open_filesystem(uri: str) -> tuple[Any, str]:
    """Return the pyarrow file system and the path in it, with time limits for a server that does not answer.

    Raises:
        UserError: the URI holds credentials, an unknown option or scheme, or a part that would be ignored, so that
            two URIs would name one place; or there is no such server.
    """
    parts = urlsplit(uri)
    if parts.password is not None or (parts.scheme == "s3" and "@" in uri):
        raise UserError(
            f"leave the credentials out of the {parts.scheme}:// URI: they are read from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), from a profile or from the machine's role"
        )
    if "#" in uri or not uri.isprintable():  # urlsplit leaves both out
        raise UserError(f"the {parts.scheme}:// URI holds '#' or a control character: write %23 for '#'")
    if "?" in uri and parts.scheme == "file":
        raise UserError("a file:// URI has no options: write %3F for '?'")
    try:
        if parts.scheme == "s3":
            return _open_s3(parts)
        if parts.scheme in ("gs", "gcs"):
            options = {"retry_limit_seconds": f"{SILENCE_SECONDS:g}"} | dict(
                parse_qsl(parts.query, keep_blank_values=True)
            )
            parts = parts._replace(query=urlencode(options))
        filesystem, path = pafs.FileSystem.from_uri(urlunsplit(parts))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RemoteError(without_options(uri), f"cannot be opened: {_reason(error)[0]}") from None
    is_public = parts.username is not None or "endpoint_override" in parts.query
    if filesystem.type_name == "gcs" and not is_public and not _has_google_credentials():
        raise RemoteError(without_options(uri), NO_GOOGLE_CREDENTIALS)
    return filesystem, path.rstrip("/")


def _open_s3(parts: SplitResult) -> tuple[Any, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(S3_OPTIONS)):
        raise UserError(f"unknown option {unknown[0]!r} in the s3:// URI; valid: {', '.join(S3_OPTIONS)}")
    if not parts.netloc:
        raise UserError("the s3:// URI names no bucket: write s3://bucket/prefix")
    endpoint = options.get("endpoint_override") or _endpoint_of_environment()
    scheme, separator, host = endpoint.rpartition("://")
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and host:
        region = "us-east-1"  # any will do, and without one pyarrow asks the machine's metadata service
    filesystem = pafs.S3FileSystem(
        region=region or pafs.resolve_s3_region(parts.netloc),
        endpoint_override=host.rstrip("/") or None,
        scheme=options.get("scheme") or (scheme if separator else None),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENCE_SECONDS,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        background_writes=False,
        allow_delayed_open=True,  # a small file then takes one request, not three
    )
    return filesystem, (parts.netloc + unquote(parts.path)).rstrip("/")


def _has_google_credentials() -> bool:
    """Return whether Google's client would find credentials: in a file, or from the metadata of its machines."""
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or home_folder() / GOOGLE_CREDENTIALS
    if Path(file).is_file():
        return True
    server = HTTPConnection(METADATA_SERVER, timeout=METADATA_SECONDS)
    with contextlib.closing(server), contextlib.suppress(OSError, HTTPException):
        server.request("GET", "/")
        return server.getresponse().getheader("Metadata-Flavor") == "Google"
    return False


def _endpoint_of_environment() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


class Remote:
    """Reads and writes whole files below a URI, by their relative names.

    A request without an answer is repeated for `patience_seconds`. Once that has failed, further requests are tried
    only once, until one succeeds.
    """

    def __init__(self, uri: str, patience_seconds: float | None = None) -> None:
        """Open the file system, without a request to the server.

        Raises:
            UserError: the URI is impossible.
        """
        self.shown = without_options(uri)
        self.patience_seconds = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        self._filesystem, self._base = open_filesystem(uri)
        self._given_up = False

    def __reduce__(self) -> NoReturn:
        raise TypeError("a connection holds credentials: send its URI")

    def check(self) -> None:
        """Check once that the storage answers and may be listed.

        Raises:
            RemoteError: it does not answer, or refuses.
        """
        with self.hurried():
            if self._filesystem.type_name in OBJECT_STORES:
                bucket = self._base.partition("/")[0]
                info = self._patiently(lambda: self._filesystem.get_file_info(bucket))
                if info.type is pafs.FileType.NotFound:
                    raise RemoteError(self.shown, f"there is no bucket {bucket!r}")
            self._listing("", recursive=False)

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Try requests inside the context only once."""
        before, self.patience_seconds = self.patience_seconds, 0.0
        try:
            yield
        finally:
            self.patience_seconds = before

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is no such file.

        Raises:
            RemoteError: there is no answer, or the request is refused. This holds for all methods.
        """

        def action() -> bytes:
            with self._filesystem.open_input_stream(self._path(name)) as stream:
                content: bytes = stream.read()
            return content

        try:
            return self._patiently(action)
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Create or replace a file. On S3 a reader sees either the old or the new content."""
        path = self._path(name)

        def action() -> None:
            if self._filesystem.type_name not in OBJECT_STORES:
                self._filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            with self._filesystem.open_output_stream(path) as stream:
                stream.write(content)

        try:
            self._patiently(action)
        except FileNotFoundError as error:
            raise RemoteError(self.shown, _reason(error)[0]) from None

    def copy(self, source: str, target: str) -> None:
        """Create or replace the target; the content does not leave the server."""
        if self._filesystem.type_name not in OBJECT_STORES:
            self._patiently(lambda: self._filesystem.create_dir(self._path(target).rpartition("/")[0]))
        self._patiently(lambda: self._filesystem.copy_file(self._path(source), self._path(target)))

    def delete(self, name: str) -> None:
        """Delete the file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._patiently(lambda: self._filesystem.delete_file(self._path(name)))

    def delete_folder(self, name: str) -> None:
        """Delete the folder, with all files below it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._patiently(lambda: self._filesystem.delete_dir(self._path(name)))

    def stamp(self, name: str) -> Stamp | None:
        """Return the stamp of a file, None if there is no such file."""
        info = self._patiently(lambda: self._filesystem.get_file_info(self._path(name)))
        return Stamp(info.size, info.mtime_ns) if info.type is pafs.FileType.File else None

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Return the stamps of all files below a folder by name."""
        infos = self._listing(folder, recursive=True)
        return {
            info.path[len(self._base) + 1 :]: Stamp(info.size, info.mtime_ns)
            for info in infos
            if info.type is pafs.FileType.File
        }

    def folders(self, folder: str = "") -> list[str]:
        """Return the names of the folders directly in this one."""
        infos = self._listing(folder, recursive=False)
        return [info.base_name for info in infos if info.type is pafs.FileType.Directory]

    def _listing(self, folder: str, *, recursive: bool) -> list[Any]:
        selector = pafs.FileSelector(self._path(folder), recursive=recursive, allow_not_found=True)
        infos: list[Any] = self._patiently(lambda: self._filesystem.get_file_info(selector))
        return infos

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}".rstrip("/")

    def _patiently(self, action: Callable[[], Result]) -> Result:
        """Do the action, and repeat it if there is no answer.

        Raises:
            FileNotFoundError: the action raised it.
            RemoteError: the action was refused, or there was no answer for `patience_seconds`.
        """
        patience_seconds = 0.0 if self._given_up else self.patience_seconds
        deadline = time.monotonic() + patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                result = action()
            except FileNotFoundError:
                self._given_up = False
                raise
            except (OSError, pa.ArrowException) as error:
                reason, lasts = _reason(error)
                if lasts or time.monotonic() + pause > deadline:
                    self._given_up |= patience_seconds > 0 and not lasts
                    raise RemoteError(self.shown, reason) from None
            else:
                self._given_up = False
                return result
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _reason(error: Exception) -> tuple[str, bool]:
    """Return what went wrong, without the endpoint, and whether repeating the request is of no use."""
    text = first_line(error)[:MAX_REASON_LENGTH]
    if "OAuth2 access token" in text:
        return NO_GOOGLE_CREDENTIALS, True
    found = _AWS_ERROR.search(text)
    if found is None:
        return text, isinstance(error, PermissionError)
    code, http_status = found.groups()
    if code in DENIED or http_status in ("401", "403"):
        return f"access denied ({code}): check the credentials and what they may do there", True
    if code == "NO_SUCH_BUCKET":
        return "there is no such bucket", True
    if code == "NETWORK_CONNECTION":
        return "no answer: check the network and AWS_ENDPOINT_URL", False
    return text[found.start() :], False


def in_parallel(action: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the action on all items, several at a time; the first error is raised."""
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        return list(pool.map(action, items))
