"""Processes of the GPU benchmark: an error, a death and silence are all reported, none is waited for."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.on_gpu.bench import Job
from benchmarks.on_gpu.sharing import ask_all
from benchmarks.on_gpu.workers import RequestError, Worker, WorkerError
from tests.benchmarks_tests.worker_requests import die, echo, fail, keep_silent, remember

JOB = Job("cpu", None, (64, 20))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(JOB) as started:
        assert started.started()["type"] == "cpu"
        yield started


def test_requests_are_answered(worker: Worker) -> None:
    for value in ([1, 2], "text"):
        worker.request(echo, value)
        assert worker.answer(60) == value


def test_a_request_that_fails_is_reported_in_one_line_and_the_process_goes_on(worker: Worker) -> None:
    worker.request(remember, 7)
    worker.answer(60)
    worker.request(fail, 7)
    with pytest.raises(RequestError, match=r"^RuntimeError: number 7 fails$"):
        worker.answer(60)
    worker.request(echo, 1)
    assert worker.answer(60) == 1


def test_one_failing_of_several_leaves_no_stale_answers(worker: Worker) -> None:
    with Worker(JOB) as other:
        other.started()
        other.request(remember, 8)
        other.answer(60)
        with pytest.raises(RequestError, match="number 8 fails"):
            ask_all([other, worker], fail, 8)
        assert ask_all([other, worker], echo, "next") == ["next", "next"]


def test_a_death_is_reported_with_its_exit_status_after_what_was_said_before() -> None:
    with Worker(JOB) as worker:
        worker.started()
        worker.request(die)
        answers = worker.answers(60)
        assert next(answers) == "last words"
        with pytest.raises(WorkerError, match="the process died, exit status -9"):
            next(answers)
        with pytest.raises(WorkerError, match="exit status -9"):
            worker.request(echo, 1)
            worker.answer(60)


def test_silence_ends_at_the_timeout_and_the_process_is_ended() -> None:
    with Worker(JOB) as worker:
        worker.started()
        worker.request(keep_silent)
        with pytest.raises(WorkerError, match="no answer within 1 s"):
            worker.answer(1)
        started = time.monotonic()
    assert time.monotonic() - started < 30
    assert not worker._process.is_alive()


def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    with Worker(Job("cuda", tmp_path, (64, 20))) as worker, pytest.raises(WorkerError, match="Error"):
        worker.started()
