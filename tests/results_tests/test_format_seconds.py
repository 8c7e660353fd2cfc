"""Durations as the published tables print them."""

import pytest

from results.tables.layout import format_seconds

MINUTE, HOUR = 60, 3600


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (12.3, "12s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (60, "1m00s"),
        (3 * MINUTE + 5, "3m05s"),
        (9 * MINUTE + 59.4, "9m59s"),
        (9 * MINUTE + 59.9, "10m"),
        (10 * MINUTE, "10m"),
        (22 * MINUTE, "22m"),
        (59 * MINUTE + 29, "59m"),
        (59 * MINUTE + 40, "1h00m"),
        (HOUR, "1h00m"),
        (HOUR + 5 * MINUTE, "1h05m"),
        (HOUR + 17 * MINUTE, "1h17m"),
        (HOUR + 59 * MINUTE + 45, "2h00m"),
        (11 * HOUR + 44 * MINUTE, "11h44m"),
        (100 * HOUR, "100h00m"),
    ],
)
def test_format(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
