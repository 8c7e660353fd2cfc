"""Processes that measure at the same time."""

import pytest

from benchmarks.crew import Crew
from tests.benchmarks_tests.crew_samples import Sleeper, Unwilling


def test_members_measure_at_the_same_time_and_until_the_last_has_ended() -> None:
    with Crew(2, Sleeper, 0.02) as crew:
        for seconds in (0.1, 0.2):
            (first, begun, ended), (second, other_begun, other_ended) = crew.ask("measure", seconds)
            assert min(first, second) >= 2
            assert min(ended, other_ended) - max(begun, other_begun) >= seconds


def test_what_fails_in_a_member_is_reported_and_ends_nothing_else() -> None:
    with Crew(1, Sleeper, 0.01) as crew, pytest.raises(RuntimeError, match="ValueError: no reason"):
        crew.ask("fail")


def test_an_impossible_member_is_reported_at_once() -> None:
    with pytest.raises(RuntimeError, match="ValueError: not today"):
        Crew(1, Unwilling)
