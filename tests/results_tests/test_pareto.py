"""The Pareto rule, against its definition."""

import random

from results.store.pareto import dominates, pareto_front


def test_the_front_is_what_nothing_dominates() -> None:
    draw = random.Random(0)  # noqa: S311
    for num_values in (1, 2, 3):
        items = [tuple(draw.randrange(6) for _ in range(num_values)) for _ in range(40)]
        expected = [item for item in items if not any(dominates(other, item) for other in items)]
        assert pareto_front(items, lambda item: item) == sorted(expected)


def test_equal_items_stay_in_their_order() -> None:
    items = [("b", (1.0, 2.0)), ("a", (1.0, 2.0)), ("c", (2.0, 2.0))]
    assert [name for name, _ in pareto_front(items, lambda item: item[1])] == ["b", "a"]
    assert not dominates((1.0, 2.0), (1.0, 2.0))
