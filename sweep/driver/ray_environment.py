"""Prepares this process for Ray. Nothing else here changes the environment, or Ray's own settings."""

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator

import ray
from ray._raylet import AuthenticationTokenLoader, Config
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

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
TOKEN_BYTES = 32


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
    # Tune would copy these into the runtime environment of each trial, and Ray logs that on every node.
    ENV_VARS_TO_PROPAGATE.difference_update([name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")])
    # Whoever reaches a port of Ray can run code here.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = joins_cluster
    ray._private.worker.print_to_stdstream = lambda *lines, **options: None  # the raylet's lines on dead workers
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # we report failed trials ourselves
    own = {} if joins_cluster else {AUTH_MODE: "token", AUTH_TOKEN: secrets.token_hex(TOKEN_BYTES)}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    _read_authentication_again()
    try:
        yield
    finally:
        for name, previous in before.items():
            del os.environ[name]
            if previous is not None:
                os.environ[name] = previous
        _read_authentication_again()


def _read_authentication_again() -> None:
    """Make Ray forget the mode and the token that it has read from the environment before."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
