"""How long a trajectory is followed, for errors and correlations that are known in time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.metrics import correlation, correlation_time, valid_prediction_time
from neuralop_jax.metrics._rollout import last_good

X = 2 * np.pi * np.arange(32) / 32


def test_correlation_is_that_of_numpy(getkey):
    a, b = jax.random.normal(getkey(), (2, 3, 6, 5)) + 2
    found = correlation(a, b)
    wanted = [np.corrcoef(u.ravel(), v.ravel())[0, 1] for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    centered = [v - v.mean((1, 2), keepdims=True) for v in (a, b)]
    np.testing.assert_allclose(correlation(a, b, joint=True), np.corrcoef(*(v.ravel() for v in centered))[0, 1], rtol=1e-12)
    np.testing.assert_allclose(correlation(-2 * a + 5, a), -1, rtol=1e-12)
    assert correlation(jnp.ones((1, 4)), jnp.arange(4.0)[None]) == 0


@pytest.mark.parametrize(("threshold", "wanted"), [(0.8, 1.5), (0.95, 0.75), (0.999, 0.0), (-1.0, 5.0)])
def test_a_wave_that_falls_behind(threshold, wanted):
    """A phase of 0.4 t gives the correlation cos 0.4 t: 0.8 at 1.61, 0.95 at 0.79."""
    times = np.arange(0.25, 5.01, 0.25)
    late, on_time = np.cos(X - 0.4 * times[:, None])[:, None], np.broadcast_to(np.cos(X), (20, 1, 32))
    found = correlation_time(jnp.asarray(late), jnp.asarray(on_time), jnp.asarray(times), threshold=threshold)
    assert found == wanted


def test_an_error_that_grows_exponentially():
    """0.01 exp(t) of the target's norm passes 0.4 at log 40 = 3.69."""
    times = np.arange(0.1, 6, 0.1)
    target = np.stack([np.cos(X - t) for t in times])[:, None]
    prediction = target + 0.01 * np.exp(times)[:, None, None] * np.sin(X + 1)
    for threshold in (0.4, 0.2):
        found = valid_prediction_time(jnp.asarray(prediction), jnp.asarray(target), jnp.asarray(times), threshold=threshold)
        np.testing.assert_allclose(found, np.floor(10 * np.log(100 * threshold)) / 10, rtol=1e-12)


def test_the_norm_is_that_of_all_times():
    """Where the target passes zero, an error that is small beside its usual size does not count."""
    target = jnp.asarray([2.0, 0.0, 2.0]).reshape(3, 1, 1)
    assert valid_prediction_time(target + 0.5, target) == 3
    assert valid_prediction_time(target + 0.7, target) == 0


def test_what_comes_back_later_does_not_count_and_nan_is_bad():
    assert last_good(jnp.asarray([True, True, False, True])) == 2
    assert last_good(jnp.asarray([False, True])) == 0
    target = jnp.asarray(np.broadcast_to(np.cos(X), (3, 1, 32)))
    assert correlation_time(target.at[1].set(jnp.nan), target) == valid_prediction_time(target.at[1].set(jnp.nan), target) == 1
