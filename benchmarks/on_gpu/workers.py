"""Processes that work for the benchmark. Whatever happens to one is an error here, never an endless wait."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.on_gpu.bench import Bench, Job, Row, brief

START_SECONDS = 180.0
"""A process may take this long to import torch and to open the device."""
CLOSE_SECONDS = 5.0

Request = Callable[..., Any]
"""A function of a module, called as `function(bench, *arguments)` in the process; its results can be pickled."""


class WorkerError(Exception):
    """A process died or does not answer, or a request to it failed."""


class RequestError(WorkerError):
    """A request failed; the process is ready for the next one."""


class Worker:
    """A process with a Bench of its own, which answers one request after the other.

    Used as a context: at its end the process is asked to leave, then made to.
    """

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share the state of CUDA
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, job))
        self._process.start()
        theirs.close()  # else the end of the process could not be seen

    def started(self) -> Row:
        """What the process says of its device.

        Raises:
            WorkerError: it did not get so far.
        """
        description: Row = self.answer(START_SECONDS)
        return description

    def request(self, function: Request, *arguments: object) -> None:
        """Ask without waiting; `answer` or `answers` must follow.

        Raises:
            WorkerError: the process has died.
        """
        try:
            self._connection.send((function, arguments))
        except OSError:
            raise WorkerError(self._death()) from None

    def answer(self, timeout_seconds: float) -> Any:  # noqa: ANN401 (whatever the request gives)
        """The one result of the last request.

        Raises:
            RequestError: the request failed.
            WorkerError: the process died or is silent.
        """
        (result,) = self.answers(timeout_seconds)
        return result

    def answers(self, timeout_seconds: float) -> Iterator[Any]:
        """The results of the last request, as they come.

        Args:
            timeout_seconds: for all of them together.

        Raises:
            WorkerError: as `answer`; the results until then have been given.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                    raise WorkerError(f"no answer within {timeout_seconds:.0f} s")
                kind, content = self._connection.recv()
            except (EOFError, OSError):
                raise WorkerError(self._death()) from None
            if kind == "done":
                return
            if kind == "error":
                raise RequestError(content)
            yield content

    def _death(self) -> str:
        self._process.join(CLOSE_SECONDS)
        return f"the process died, exit status {self._process.exitcode}"

    def __enter__(self) -> Self:
        return self

    def leave(self) -> None:
        """Ask the process to end, without waiting for it."""
        with contextlib.suppress(OSError):
            self._connection.send(None)

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._process.join(CLOSE_SECONDS)
        for end in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                end()
                self._process.join(CLOSE_SECONDS)
        self._connection.close()


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Connection, job: Job) -> None:
    """What runs in the process: results, then 'done' or one 'error', for its start and for every request."""
    try:
        bench = Bench(job)
        _send(connection, ("result", bench.describe()), ("done", None))
    except Exception as error:
        _send(connection, ("error", brief(error)))
        return
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            return  # the benchmark has ended
        if request is None:
            return
        function, arguments = request
        try:
            results = function(bench, *arguments)
            for result in results if isinstance(results, Iterator) else [results]:
                _send(connection, ("result", result))
            _send(connection, ("done", None))
        except Exception as error:
            _send(connection, ("error", brief(error)))


def _send(connection: Connection, *messages: tuple[str, Any]) -> None:
    for message in messages:
        connection.send(message)
