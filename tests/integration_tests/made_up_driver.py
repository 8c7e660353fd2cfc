"""A driver of a sweep in a bucket that trains nothing: it appends events to the log and says which are written.

python -m tests.integration_tests.made_up_driver URI RUN_ID
"""

import itertools
import sys
from collections.abc import Iterable, Iterator

from results.store import lease
from results.store.opening import open_store
from tests.results_tests.result_samples import make_manifest
from trainable.errors import SweepLostError

NAME = "sweep"
QUICK = lease.Timing(renew=0.3, stale=2.5, settle=0.1)
"""A server's times are whole seconds."""


def events(uri: str, run_id: str, numbers: Iterable[int]) -> Iterator[str]:
    """Drive the sweep, append an event for each of the numbers, and yield those that are in the store for good."""
    store = open_store(uri)
    with store.driving(make_manifest([], NAME), run_id):
        log = store.search_log(NAME)
        log.truncate(len(log.read()))  # it knows what there is
        for number in numbers:
            event = f"{run_id} {number}"
            log.append(event.encode() + b"\n")
            yield event


def main() -> int:
    lease.TIMING = QUICK
    try:
        for event in events(sys.argv[1], sys.argv[2], itertools.count()):
            print(event, flush=True)
    except SweepLostError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
