"""Prepares this process for Ray. Nothing else here changes the environment, or Ray's own settings."""

import contextlib
import functools
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import ray
from ray._private import services
from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]  # not in its stub
from ray.exceptions import AuthenticationError
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

from trainable.errors import UserError

VARIABLES = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # workers get our working_dir inside a job, too
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches us as KeyboardInterrupt
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
"""What Ray is told where the user's environment does not say otherwise. Ray reads it when it starts, not before."""
AUTH_MODE, AUTH_TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
AUTH_ON, AUTH_OFF = "token", "disabled"
"""The two modes of Ray."""
TOKEN_BYTES = 32
STDERR = 2
ANSWER_SECONDS = 5.0
POPEN = functools.partial(services.ConsolePopen, process_group=0)
"""Starts a process in a group of its own, which no signal to ours reaches: `timeout`, a terminal that is closed and
systemd signal the whole group, and Ray would die before the trials have written their checkpoints."""
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client sends first (RFC 9113, section 3.4): the server then answers with its settings."""


@contextlib.contextmanager
def prepared(*, joins_cluster: bool) -> Iterator[None]:
    """Set the variables that Ray reads, silence it, and keep it from spreading credentials.

    Enter it before `ray.init` and leave it after `ray.shutdown`. Importing this module, or any other of ours, changes
    nothing. A Ray of our own answers only processes that know the token of this run: the other users of the machine
    reach its ports on 127.0.0.1, and could run code as this user. A cluster has a token of its own, or none, and the
    user's environment says which.

    Args:
        joins_cluster: whether Ray already runs elsewhere; if not, Ray opens its ports on 127.0.0.1 only.
    """
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    if path := os.environ.get("PYTHONPATH"):  # workers have another current folder
        os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(folder).absolute()) for folder in path.split(os.pathsep))
    # Tune would copy these into the runtime environment of each trial, and Ray logs that on every node.
    ENV_VARS_TO_PROPAGATE.difference_update([name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")])
    # Whoever reaches a port of Ray can run code here.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = joins_cluster
    ray._private.worker.print_to_stdstream = lambda *lines, **options: None  # the raylet's lines on dead workers
    ray._private.utils.get_entrypoint_name = lambda: "batchscape"  # the command line may hold a path that is no UTF-8
    services.ConsolePopen = POPEN
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # we report failed trials ourselves
    logging.getLogger("ray._private.services").setLevel(logging.ERROR)  # it lists what else runs on this machine
    with _authentication({} if joins_cluster else {AUTH_MODE: AUTH_ON, AUTH_TOKEN: secrets.token_hex(TOKEN_BYTES)}):
        yield


def adopt_mode(address: str) -> None:
    """Send the user's token if the cluster demands one. Call it inside of `prepared`, before `ray.init`.

    Ray itself would try for half a minute with the wrong token, and send a token to a cluster without one, where the
    workers then cannot talk to the driver.

    Raises:
        UserError: the cluster demands a token that the user's environment lacks, or the other way round.
        ConnectionError: there is no cluster at that address.
        ray.exceptions.RpcError: what is at that address does not answer.
    """
    found = services.canonicalize_bootstrap_address_or_die(address)
    _check_answers(found)
    is_demanded = not _admits(found, AUTH_OFF)
    mode = os.environ.get(AUTH_MODE, "").lower() or (AUTH_ON if is_demanded else AUTH_OFF)
    if is_demanded and not (mode == AUTH_ON and _admits(found, AUTH_ON)):
        raise UserError(
            f"the Ray cluster at --address {address} demands its token: "
            f"set {AUTH_MODE}=token and {AUTH_TOKEN} (or {AUTH_TOKEN}_PATH) as on its nodes"
        )
    if mode == AUTH_ON and not is_demanded:
        raise UserError(
            f"the Ray cluster at --address {address} demands no token: start it with {AUTH_MODE}=token, or unset the "
            "variable to join a cluster on which everybody who reaches its ports can run code"
        )
    os.environ[AUTH_MODE] = mode
    _read_authentication_again()


def _check_answers(address: str) -> None:
    """Find out in seconds whether a server is at HOST:PORT, for example where `auto` has found a cluster of the past.

    Ray itself would try for minutes. A process that stands still accepts connections, but does not greet.

    Raises:
        ConnectionError: there is none.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS) as client:
            client.sendall(HTTP2_GREETING)
            client.recv(1)
    except OSError as error:
        raise ConnectionError(f"nothing answers at {address} ({error.strerror or error})") from None


def _admits(address: str, mode: str) -> bool:
    """Return whether a cluster answers a client in this mode, which sends the user's token or none."""
    with _authentication({AUTH_MODE: mode}), _without_stderr():
        try:
            if mode == AUTH_ON:
                AuthenticationTokenLoader.instance().has_token()  # raises where GcsClient would abort
            GcsClient(address=address)
        except AuthenticationError:
            return False
        return True


@contextlib.contextmanager
def _authentication(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that Ray reads, and at the end what the user had set of its mode and token."""
    before = {name: os.environ.get(name) for name in (AUTH_MODE, AUTH_TOKEN)}
    os.environ.update(variables)
    _read_authentication_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _read_authentication_again()


def _read_authentication_again() -> None:
    """Make Ray forget the mode and the token that it has read from the environment before."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what C++ code writes to standard error."""
    kept = os.dup(STDERR)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
