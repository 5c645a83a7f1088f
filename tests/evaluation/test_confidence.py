import math

import numpy as np
import pytest

from neuralop_jax.evaluation import bootstrap_intervals, student_interval


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_quantiles_of_student_in_closed_form(level):
    """One degree of freedom is Cauchy's distribution; for two, t = p sqrt(2 / (1 - p^2))."""
    reach = math.tan(math.pi * level / 2) * 1.0  # of the values -1 and 1: s / sqrt(2) = 1
    np.testing.assert_allclose(student_interval([-1.0, 1.0], level=level), (-reach, reach), rtol=1e-12)
    reach = level * math.sqrt(2 / (1 - level**2)) / math.sqrt(3)  # of 4, 5 and 6: s = 1
    np.testing.assert_allclose(student_interval([4.0, 5.0, 6.0], level=level), (5 - reach, 5 + reach), rtol=1e-12)


def test_intervals_over_seeds_contain_the_mean_as_often_as_they_promise():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (2000, 4))
    inside = np.mean([low < 3.0 < high for low, high in map(student_interval, draws.tolist())])
    assert abs(inside - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)
    with pytest.raises(ValueError, match="at least two values, got 1"):
        student_interval([1.0])


def test_intervals_over_samples():
    """The means of two drawn samples are 0, 1/2 and 1 with probabilities 1/4, 1/2, 1/4; those of many are about normal."""
    assert bootstrap_intervals({"e": np.array([0.0, 1.0])}) == {"e": (0.0, 1.0)}
    assert bootstrap_intervals({"e": np.array([0.0, 1.0])}, level=0.4) == {"e": (0.5, 0.5)}
    errors = np.random.default_rng(1).exponential(2.0, 5000)
    found = bootstrap_intervals({"e": errors, "twice": 3 - 2 * errors})
    reach = 1.959964 * errors.std() / math.sqrt(5000)
    np.testing.assert_allclose(found["e"], (errors.mean() - reach, errors.mean() + reach), atol=0.1 * reach)
    np.testing.assert_allclose(found["twice"], 3 - 2 * np.array(found["e"][::-1]), rtol=1e-9)
