"""t test, TOST and Holm against figures worked out by hand, and the verdicts that follow."""

import math

import numpy as np
import pytest

from results.statistics.verdicts import Verdict, equality_p, equivalence_p, holm, judge, t_quantile, two_sided_p

DEGREES = 2


def t2_upper(t: float) -> float:
    """P(T > t) of Student's t with 2 degrees of freedom, which has a closed form."""
    return 0.5 - t / (2 * math.sqrt(2 + t * t))


def test_the_t_test() -> None:
    p = two_sided_p(np.array([0.6, -0.6, 0.0]), np.array([0.2, 0.2, 0.2]), DEGREES)
    assert p == pytest.approx([2 * t2_upper(3), 2 * t2_upper(3), 1.0])


def test_the_equivalence_test_takes_the_worse_side() -> None:
    """d = 0.1, se = 0.1, margin 0.5: t = 4 to the near side, 6 to the far one."""
    p = equivalence_p(np.array([0.1, -0.1, 0.5, 0.7]), np.full(4, 0.1), DEGREES, 0.5)
    assert p == pytest.approx([t2_upper(4), t2_upper(4), 0.5, 1 - t2_upper(2)])


def test_equality_by_hand() -> None:
    """Weights 4, 1, 1, mean 1, Q = 4 + 1 + 9, F = 7; with 2 and n degrees of freedom p = (1 + 2 F / n)^(-n / 2)."""
    p = equality_p(np.array([0.0, 2.0, 4.0]), np.array([0.5, 1.0, 1.0]), 4)
    assert p == pytest.approx((1 + 14 / 4) ** -2)
    assert equality_p(np.array([3.0]), np.array([1.0]), 4) == 1


def test_quantiles_of_t() -> None:
    assert t_quantile(0.975, 4) == pytest.approx(2.776445, abs=1e-6)


def test_holm_by_hand() -> None:
    """Sorted 0.01 0.02 0.03 0.2 times 4 3 2 1: 0.04 0.06 0.06 0.2; the third may not fall below the second."""
    assert holm(np.array([0.03, 0.01, 0.2, 0.02])) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_holm_corrects_each_family_for_itself() -> None:
    families = np.array([[0.03, 0.01], [0.5, 0.001]])
    assert holm(families) == pytest.approx(np.array([[0.03, 0.02], [0.5, 0.002]]))


def verdicts(*differences: float, error: float = 0.1, degrees: int = 20) -> list[Verdict]:
    points = np.array(differences)
    return judge(points, np.full(len(points), error), degrees, margin=0.5, alpha=0.05).verdicts()


def test_each_verdict() -> None:
    assert verdicts(0.0) == [Verdict.REPRODUCED]
    assert verdicts(0.9) == [Verdict.DIFFERS]
    assert verdicts(-0.9) == [Verdict.DIFFERS]
    assert verdicts(0.0, error=0.5) == [Verdict.CANNOT_TELL]


def test_no_difference_found_is_not_reproduced() -> None:
    """Equal to the digit, but too noisy: nothing follows."""
    assert verdicts(0.0, error=0.4) == [Verdict.CANNOT_TELL]


def test_a_difference_inside_the_margin_is_reproduced() -> None:
    """t = 2.5: 0.25 is there (p = 0.02), and it is below 0.5 (p = 0.01)."""
    judgement = judge(np.array([0.25]), np.array([0.1]), 20, margin=0.5, alpha=0.05)
    assert judgement.p_differs[0] < 0.05
    assert not judgement.differs.any()
    assert judgement.verdicts() == [Verdict.REPRODUCED]


def test_many_comparisons_need_more_evidence() -> None:
    """t = 2.5 with 20 degrees is p = 0.021 alone, and 0.21 as the best of ten."""
    assert verdicts(0.5, error=0.2) == [Verdict.DIFFERS]
    assert verdicts(0.5, *[0.4] * 9, error=0.2)[0] is Verdict.CANNOT_TELL


def test_fewer_degrees_of_freedom_need_more_evidence() -> None:
    assert verdicts(0.6, error=0.2, degrees=4) == [Verdict.DIFFERS]
    assert verdicts(0.6, error=0.2, degrees=2) == [Verdict.CANNOT_TELL]


def test_a_standard_error_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        judge(np.array([0.1]), np.array([0.0]), 4, margin=0.5, alpha=0.05)
