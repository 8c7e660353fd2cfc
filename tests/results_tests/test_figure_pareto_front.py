"""Error against hours: the front, and that its numbers are readable."""

import pytest

from results.figures.pareto_front import clouds, draw_pareto_front, hours_error_front, hours_name, spread
from results.figures.points import Point, Source, published_points, title
from tests.results_tests.figure_samples import make_point, overlaps


def test_the_published_front() -> None:
    """The expected front is taken from the tables by hand: no row that took less time has a smaller error."""
    (cloud,) = clouds(published_points())
    members = [(round((p.hours or 0) * 60), p.error, p.batch_size, p.lr, p.epochs) for p in cloud.front]
    assert members == [
        (20, 7.73, 512, 1.6, 200),
        (21, 7.45, 256, 0.8, 200),
        (24, 7.28, 128, 0.4, 200),
        (42, 7.20, 1024, 0.8, 400),
        (44, 7.17, 64, 0.05, 400),
        (47, 7.09, 128, 0.1, 400),
        (86, 6.69, 512, 1.6, 800),
        (95, 6.68, 128, 0.1, 800),
        (185, 6.47, 128, 0.1, 160),
    ]


def test_equal_hours_or_errors_make_one_member() -> None:
    points = [make_point(hours=hours, errors=(error,)) for hours, error in ((1, 8), (1, 7), (2, 7), (2, 6), (3, 9))]
    assert [(p.hours, p.error) for p in hours_error_front(points)] == [(1, 7), (2, 6)]
    assert hours_error_front([]) == []


def test_each_source_has_a_front_of_its_own() -> None:
    worse = make_point(source=Source.PUBLISHED, origin="published", hours=9.0, errors=(50.0,))
    found = clouds([make_point(), worse, make_point(errors=(), hours=None)])
    assert [(cloud.origin, len(cloud.points), len(cloud.front)) for cloud in found] == [
        ("published", 1, 1),
        ("mine", 1, 1),
    ]


def test_hours_are_gpu_hours_on_gpus_only() -> None:
    assert hours_name([cloud.hardware for cloud in clouds(published_points())]) == "GPU-hours"
    assert hours_name(["NVIDIA H100, a processor"]) == "device-hours"


@pytest.mark.parametrize(
    ("positions", "apart"),
    [([], []), ([0.1, 0.5], [0.1, 0.5]), ([0.1, 0.1, 0.15], [0.1, 0.2, 0.3]), ([0.95, 1.0], [0.9, 1.0])],
)
def test_numbers_are_spread(positions: list[float], apart: list[float]) -> None:
    assert spread(positions, 0.1) == pytest.approx(apart)


LONG = [make_point(hours=1 + n / 100, errors=(90 - n,), lr=0.01 * (n + 1)) for n in range(40)]
TINY = [make_point(hours=0.004 * (1 + n), errors=(0.3 / (n + 1),)) for n in range(12)]


@pytest.mark.parametrize(
    "points",
    [published_points(), [*published_points(), *TINY], LONG, [make_point()], [make_point(errors=(0.0,))]],
    ids=["published", "both", "long", "one", "zero"],
)
def test_nothing_overlaps(points: list[Point]) -> None:
    assert overlaps(draw_pareto_front(clouds(points), title(points))) == []
