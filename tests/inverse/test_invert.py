"""The driver: minima in closed form, and every way in which a minimization can end."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax._result import MAX_STEPS, NONFINITE, STALLED, SUCCESS
from neuralop_jax.errors import ConfigError, SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.inverse import AbstractCoefficient, Bounded, Exponential, Sensors, Tikhonov, TotalVariation, invert

GRID = Grid((12,))
X = jnp.asarray(GRID.coordinates()[0])[None]
SENSORS = Sensors(np.linspace(0.05, 0.95, 7)[:, None], GRID)
PRIOR = Tikhonov(GRID, order=1.0, weight=2.0, length=0.3, mean=0.25)


class Same(AbstractCoefficient):
    """a = m."""

    def __call__(self, m):
        return m

    def inverse(self, a):
        return a


def identity(a):
    return a


def square(a):
    return a**2


@pytest.fixture(scope="module")
def linear_problem(compiled):
    """Data with an error bar each, and the solution of the normal equations."""
    data = np.sin(5 * np.asarray(SENSORS.points).T) + 1
    noise = np.linspace(0.02, 0.2, 7)[None]
    derivatives = lambda m: (jax.jacfwd(lambda m: SENSORS(m).ravel())(m)[:, 0], jax.hessian(lambda m: PRIOR(m[None]))(m[0]))
    matrix, hessian = compiled(derivatives, X)
    weighted = matrix / noise.ravel()[:, None] ** 2
    right = weighted.T @ data.ravel() + hessian @ np.full(12, 0.25)
    return data, noise, np.linalg.solve(matrix.T @ weighted + hessian, right)


def test_a_linear_problem_against_its_normal_equations(linear_problem, compiled):
    data, noise, expected = linear_problem
    options = {"coefficient": Same(), "rtol": 1e-8, "monitor": jnp.sum}
    found = invert(identity, jnp.asarray(data), SENSORS, PRIOR, noise=jnp.asarray(noise), **options)
    np.testing.assert_allclose(found.field[0], expected, atol=1e-6)
    predicted, penalty = compiled(lambda m: (SENSORS(m), PRIOR(m)), found.field)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-12)
    count, history = int(found.num_steps), jax.tree.map(np.asarray, found.history)
    assert found.successful and count < 60 and count < int(found.num_solves) < 2 * count + 5
    misfit = 0.5 * np.sum(((np.asarray(found.predicted) - data) / noise) ** 2)
    np.testing.assert_allclose(history.misfit[count], misfit, rtol=1e-10)
    np.testing.assert_allclose(history.objective[count], misfit + penalty, rtol=1e-10)
    np.testing.assert_allclose(history.monitor[count], np.sum(found.field), rtol=1e-10)
    assert (np.diff(history.objective[: count + 1]) <= 0).all() and np.isnan(history.objective[count + 1 :]).all()
    assert history.gradient_norm[count] <= 1e-8 * history.gradient_norm[0]
    np.testing.assert_allclose(history.monitor[0], 12 * 0.25)


def test_every_prior_and_coefficient_reaches_a_stationary_point(compiled):
    truth = 0.4 * np.where(np.asarray(X) > 0.5, 1.0, -1.0)
    cases = ((PRIOR, Bounded(0.1, 4.0)), (TotalVariation(GRID, weight=3.0, smoothing=0.05), Exponential()))
    for prior, coefficient in cases:
        data = jnp.asarray(compiled(lambda m: SENSORS(square(coefficient(m))), jnp.asarray(truth)))  # noqa: B023
        objective = lambda m, c=coefficient, p=prior, d=data: 0.5 * jnp.sum(((SENSORS(square(c(m))) - d) / 0.1) ** 2) + p(m)
        found = invert(square, data, SENSORS, prior, noise=0.1, coefficient=coefficient, rtol=1e-7)
        slopes = compiled(jax.vmap(jax.grad(objective)), jnp.asarray(np.stack([found.field, np.full((1, 12), prior.mean)])))
        assert np.linalg.norm(slopes[0]) < 1e-5 * np.linalg.norm(slopes[1])
        np.testing.assert_allclose(compiled(coefficient.inverse, found.coefficient), found.field, atol=1e-10)
        assert np.linalg.norm(found.field - truth) < 0.5 * np.linalg.norm(truth)


@pytest.fixture(scope="module")
def seen(compiled):
    """What the sensors see of exp(2 x)."""
    return jnp.asarray(compiled(lambda x: SENSORS(jnp.exp(2 * x)), X))


def test_single_precision_ends_at_round_off(seen):
    data = jnp.asarray(seen, jnp.float32)
    found = invert(square, data, SENSORS, PRIOR, noise=0.01, rtol=1e-12)
    assert found.field.dtype == found.history.objective.dtype == jnp.float32 and found.successful
    double = invert(square, data.astype(float), SENSORS, PRIOR, noise=0.01, rtol=1e-8)
    assert abs(np.asarray(found.field) - np.asarray(double.field)).max() < 2e-3


def test_the_discrepancy_ends_it_early(seen):
    noise = 0.05 * jax.random.normal(jax.random.key(0), (1, 7))
    weak = Tikhonov(GRID, weight=1e-6)
    data = seen + noise
    rms = lambda found: float(np.sqrt(np.mean(((np.asarray(found.predicted) - np.asarray(data)) / 0.05) ** 2)))
    early = invert(square, data, SENSORS, weak, noise=0.05, discrepancy=1.2)
    late = invert(square, data, SENSORS, weak, noise=0.05)
    before = np.sqrt(2 * np.asarray(early.history.misfit)[int(early.num_steps) - 1] / 7)
    assert rms(late) < 0.1 < rms(early) <= 1.2 < before and early.num_steps < late.num_steps


def test_a_forward_model_that_fails_makes_steps_shorter():
    fails = lambda a: jnp.where(jnp.max(a) < 2.2, a**2, jnp.nan)
    data = jnp.asarray(np.full((1, 7), 4.0))
    found = invert(fails, data, SENSORS, Tikhonov(GRID, weight=1e-3), noise=0.01)
    np.testing.assert_allclose(found.coefficient, 2, atol=0.01)


def test_the_best_point_before_a_wall_is_taken_and_is_no_success():
    """The minimum, at 2, lies behind the wall at 1.7: the inversion comes close to the wall, and stalls there."""
    fails = lambda a: jnp.where(jnp.max(a) < 1.7, a**2, jnp.nan)
    data = jnp.asarray(np.full((1, 7), 4.0))
    found = invert(fails, data, SENSORS, Tikhonov(GRID, weight=1e-3), noise=0.01, throw=False)
    assert found.result in (STALLED, MAX_STEPS) and 1.69 < jnp.max(found.coefficient) < 1.7
    known = np.asarray(found.history.objective)[: int(found.num_steps) + 1]
    assert (np.diff(known) <= 0).all() and known[-1] < 0.2 * known[0]


@jax.custom_vjp
def wrong(a):
    return a**2


wrong.defvjp(lambda a: (a**2, a), lambda a, c: (-2 * a * c,))


def test_every_other_end_has_its_code_and_its_words(seen):
    for forward, options, code, words in (
        (square, {"max_steps": 2}, MAX_STEPS, r"max_steps.*\(result 1\)\. Iterations 2"),
        (lambda a: a * jnp.nan, {}, NONFINITE, "NaN or infinity"),
        (wrong, {}, STALLED, r"no smaller objective.*\(result 10\)"),
    ):
        found = invert(forward, seen, SENSORS, PRIOR, noise=0.01, throw=False, **options)
        assert found.result == code and np.isnan(found.field).any() == (code == NONFINITE)
        with pytest.raises(SolverError, match=words):
            invert(forward, seen, SENSORS, PRIOR, noise=0.01, **options)


def test_codes_per_sample_and_errors_in_compiled_code(seen, compiled):
    data = jnp.asarray(np.stack([seen, np.full((1, 7), np.nan), compiled(lambda x: SENSORS(jnp.exp(x)), X)]))
    solve = lambda d: invert(square, d, SENSORS, PRIOR, noise=0.1, rtol=1e-6, throw=False)
    together = jax.jit(jax.vmap(solve))(data)
    assert together.result.tolist() == [SUCCESS, NONFINITE, SUCCESS]
    np.testing.assert_allclose(together.field[2], solve(data[2]).field, atol=1e-5)
    with pytest.raises(SolverError, match="1 of 3 samples failed"):
        together.or_raise()
    with pytest.raises(eqx.EquinoxRuntimeError, match="NaN or infinity"):
        jax.block_until_ready(eqx.filter_jit(lambda d: invert(square, d, SENSORS, PRIOR, noise=0.1).field)(data[1]))


def test_what_is_refused():
    data = jnp.ones((1, 7))
    for options, words in (
        ({"data": jnp.ones((1, 6))}, r"shape of the observation, \(1, 7\), got \(1, 6\)"),
        ({"data": data.at[0, 2].set(jnp.nan)}, r"data must be finite, got 1 of 7 numbers .* at \[0, 2\]"),
        ({"noise": 0.0}, "noise must be positive"),
        ({"noise": float("inf")}, "noise must be positive and finite"),
        ({"noise": jnp.ones(6)}, r"shape of the data, \(1, 7\), got \(6,\)"),
        ({"start": jnp.ones((1, 12), "float32")}, r"\(1, 12\) float64, got \(1, 12\) float32"),
        ({"start": jnp.ones((1, 11))}, r"\(1, 12\) float64, got \(1, 11\)"),
        ({"rtol": 0.0}, "0 < rtol < 1"),
        ({"discrepancy": -1.0}, "discrepancy must be positive"),
    ):
        with pytest.raises(ConfigError, match=words):
            invert(square, **({"data": data, "observe": SENSORS, "prior": PRIOR, "noise": 0.1} | options))
    with pytest.raises(ConfigError, match="low < high"):
        Bounded(2.0, 1.0)
