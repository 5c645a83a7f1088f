"""Confidence intervals of mean errors: over seeds, of which there are few, and over samples, of which there are many."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.special
from jaxtyping import Float

_RESAMPLES = 1000
_AT_ONCE = 2**22  # drawn samples in memory


def student_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    r"""The interval $\bar x \pm t\,s/\sqrt n$ of a mean of few independent, about normal values, such as errors of several seeds.

    $s$ is the standard deviation with $n - 1$, $t$ the quantile $(1 + p)/2$ of Student's distribution with $n - 1$ degrees of
    freedom: 12.7 for two values, 4.3 for three, 2.8 for five at $p = 0.95$.

    **Arguments:**

    - `values`: at least two.
    - `level`: $p$, the probability with which such an interval contains the mean.

    **Returns:** both ends.

    **Raises:** `ValueError` for less than two values.

    **Source:** Student 1908, doi:10.1093/biomet/6.1.1.

    !!! example

        ```python
        from neuralop_jax.evaluation import student_interval

        low, high = student_interval([1.0, 2.0, 3.0])
        assert abs(high - 2 - 4.302653 / 3**0.5) < 1e-6 and abs(low + high - 4) < 1e-12
        ```
    """
    if len(values) < 2:
        raise ValueError(f"an interval over seeds needs at least two values, got {len(values)}. Train with another seed.")
    reach = float(scipy.special.stdtrit(len(values) - 1, (1 + level) / 2)) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def bootstrap_intervals(
    errors: Mapping[str, Float[np.ndarray, " samples"]], *, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """The intervals of the means of errors over samples: percentiles of the means of as many, drawn 1000 times with replacement.

    What varies is the choice of the samples, for one trained operator; other seeds vary more. The draws are the same in every
    call and for all errors.

    **Arguments:**

    - `errors`: by name, the errors of the same samples.
    - `level`: the probability with which such an interval contains the mean over all samples there could be.

    **Returns:** both ends, by name.

    **Source:** Efron, Tibshirani, *An Introduction to the Bootstrap*, Chapman and Hall 1993, section 13.3.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.evaluation import bootstrap_intervals

        errors = np.random.default_rng(0).normal(1.0, 0.1, 400)
        low, high = bootstrap_intervals({"relative_l2": errors})["relative_l2"]
        assert low < errors.mean() < high and abs((high - low) / (2 * 1.96 * errors.std() / 20) - 1) < 0.1
        ```
    """
    stacked = np.stack(list(errors.values()), axis=1)
    random, size, means = np.random.default_rng(0), len(stacked), []
    for start in range(0, _RESAMPLES, portion := max(1, _AT_ONCE // stacked.size)):
        drawn = random.integers(size, size=(min(portion, _RESAMPLES - start), size))
        means.append(stacked[drawn].mean(axis=1))
    ends = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(errors, *ends, strict=True)}
