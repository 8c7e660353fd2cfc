"""Run a sweep: prepare the request, then train what is left of it."""

import sys

from sweep.exit_codes import ExitCode
from sweep.preparation import prepare
from sweep.request import RunRequest
from trainable.wording import say


def run(request: RunRequest) -> ExitCode:
    """Make the store hold the trials of a space: reuse what it has, resume what is unfinished, train the rest.

    Raises:
        UserError: the request cannot be carried out.
    """
    try:
        prepared = prepare(request)
        if prepared.search is None:
            from sweep.planned_run import run_planned_sweep

            return run_planned_sweep(prepared)
        from sweep.search_run import run_search_sweep

        return run_search_sweep(prepared, prepared.search)
    except KeyboardInterrupt:  # while trials run, these functions handle it
        say("\nstopped while nothing was being trained; the same command resumes", file=sys.stderr)
        return ExitCode.INTERRUPTED
