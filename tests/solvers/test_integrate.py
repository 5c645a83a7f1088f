"""Frames, times and verdicts of whole integrations."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax._result import MAX_STEPS, NONFINITE, UNSTABLE_STEP
from neuralop_jax.equations import Burgers, NavierStokes
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.rollout import rollout
from neuralop_jax.solvers import ETDRK, integrate, method_of_lines

LINE = Grid((128,), ((0.0, 2 * np.pi),), ("periodic",))
BURGERS = Burgers(viscosity=0.1)
SINE = jnp.sin(jnp.asarray(LINE.coordinates()[0]))[None]


def test_frames_are_those_of_single_steps():
    step = ETDRK(BURGERS, LINE, 1e-2)
    solution = integrate(step, SINE, 20, save_every=5)
    np.testing.assert_allclose(solution.values, rollout(step, SINE, 20)[::5], atol=1e-12)
    np.testing.assert_allclose(solution.times, [0, 0.05, 0.1, 0.15, 0.2], rtol=1e-14)
    assert bool(solution.successful)
    assert int(solution.num_steps) == 20
    bare = integrate(step, SINE, 20, save_every=5, include_init=False)
    np.testing.assert_array_equal(bare.values, solution.values[1:])
    np.testing.assert_array_equal(bare.times, solution.times[1:])


def test_frames_must_fit():
    with pytest.raises(SolverError, match="positive multiple of save_every = 3, got 10"):
        integrate(ETDRK(BURGERS, LINE, 1e-2), SINE, 10, save_every=3)


def test_too_long_a_step_is_refused_before_the_first_one():
    inviscid = Burgers(viscosity=1e-4)
    with pytest.raises(
        SolverError, match=r"Burgers: dt = 0.5 breaks the CFL condition: .* ETDRK of order 4 is stable up to 2.8. Use dt <= 0.06"
    ):
        integrate(ETDRK(inviscid, LINE, 0.5), SINE, 10)
    allowed = 0.5 * 2.8 / float(ETDRK(inviscid, LINE, 0.5).courant_number(SINE))
    assert integrate(ETDRK(inviscid, LINE, 0.999 * allowed), SINE, 2).successful


def test_damped_modes_set_no_limit():
    """With viscosity 10 no mode is carried faster than it is damped."""
    assert ETDRK(Burgers(viscosity=10.0), LINE, 5.0).courant_number(SINE) == 0
    speed, edge = 1.0, 1.0 / 0.1  # modes above a/nu are damped faster
    assert float(ETDRK(BURGERS, LINE, 0.1).courant_number(SINE)) == pytest.approx(0.1 * speed * (edge - 1))


def test_each_sample_has_its_own_verdict():
    step = ETDRK(Burgers(viscosity=1e-3), LINE, 0.05)
    fields = jnp.stack([SINE, 40 * SINE, SINE.at[0, 3].set(jnp.nan), 1e5 * SINE])
    solution = eqx.filter_jit(jax.vmap(lambda u: integrate(step, u, 40, save_every=40, throw=False)))(fields)
    assert solution.result[0] == 0
    assert set(np.asarray(solution.result[1:]).tolist()) <= {UNSTABLE_STEP, NONFINITE}
    assert solution.result[2] == NONFINITE
    assert bool(jnp.isfinite(solution.values[0]).all())


def test_failure_inside_compiled_code_is_a_run_time_error():
    step = ETDRK(BURGERS, LINE, 1e-2)
    with pytest.raises(eqx.EquinoxRuntimeError, match="met NaN or infinity. Check the input"):
        eqx.filter_jit(lambda u: integrate(step, u, 4).values)(SINE.at[0, 0].set(jnp.nan))


def test_method_of_lines_against_cole_hopf():
    times = jnp.array([0.0, 0.5, 1.0])
    solution = method_of_lines(BURGERS, SINE, times, LINE, solver=diffrax.Dopri8(), rtol=1e-10, atol=1e-10)
    for frame, t in zip(solution.values[1:], times[1:]):
        np.testing.assert_allclose(frame, BURGERS.cole_hopf(SINE, float(t), LINE), atol=1e-8)
    assert int(solution.num_steps) > 5


def test_method_of_lines_in_two_dimensions_agrees_with_the_stepper():
    grid = Grid((24, 16), ((0.0, 1.0), (0.0, 2.0)), ("periodic", "periodic"))
    equation = NavierStokes(viscosity=1e-2)
    w0 = NavierStokes.taylor_green(grid) + NavierStokes.taylor_green(grid)[:, ::-1] ** 2
    w0 = w0 - w0.mean()
    found = method_of_lines(equation, w0, jnp.array([0.0, 0.5]), grid, rtol=1e-9, atol=1e-9).values[-1]
    np.testing.assert_allclose(found, integrate(ETDRK(equation, grid, 5e-3), w0, 100, save_every=100).values[-1], atol=1e-7)


def test_method_of_lines_reports_failure():
    times = jnp.array([0.0, 1.0])
    with pytest.raises(SolverError, match=r"used up its steps. Allow more .* \(result 1\)"):
        method_of_lines(BURGERS, SINE, times, LINE, max_steps=3)
    assert method_of_lines(BURGERS, SINE, times, LINE, max_steps=3, throw=False).result == MAX_STEPS
    with pytest.raises(SolverError, match="at least two times"):
        method_of_lines(BURGERS, SINE, times[:1], LINE)


def test_what_is_no_field_is_refused():
    with pytest.raises(SolverError, match="expects a field of real floats, got int64. Convert it"):
        BURGERS.check(jnp.ones((1, 128), int), LINE)
    for solve in (
        lambda u: integrate(ETDRK(BURGERS, LINE, 1e-2), u, 4),
        lambda u: method_of_lines(BURGERS, u, jnp.array([0.0, 1.0]), LINE),
    ):
        with pytest.raises(SolverError, match="the start holds NaN or infinity"):
            solve(SINE.at[0, 0].set(jnp.nan))
    with pytest.raises(SolverError, match="increasing times"):
        method_of_lines(BURGERS, SINE, jnp.array([1.0, 0.0]), LINE)


def test_a_batch_raises_for_its_worst_sample():
    step = ETDRK(BURGERS, LINE, 1e-2)
    fields = jnp.stack([SINE, SINE.at[0, 0].set(jnp.nan)])
    solutions = jax.vmap(lambda u: integrate(step, u, 4, throw=False))(fields)
    with pytest.raises(SolverError, match="met NaN or infinity"):
        solutions.or_raise()
