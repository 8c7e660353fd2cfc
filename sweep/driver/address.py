"""Check the address of a Ray cluster without Ray."""

import socket

from trainable.errors import UserError

CLIENT_SCHEME = "ray://"
PROBE_SECONDS = 5.0


def check_reachable(address: str) -> None:
    """Find out in seconds, and without the many lines that Ray prints, whether somebody listens at `host:port`.

    Raises:
        UserError: nobody listens, or the address is one of Ray Client.
    """
    if address.startswith(CLIENT_SCHEME):
        raise UserError(
            f"--address {address}: the driver has to be on a node of the cluster: "
            "ray job submit --address http://HEAD:8265 --working-dir . -- python tune_main.py run ..."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or another form that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot reach a Ray cluster at --address {address}: {error}") from None
