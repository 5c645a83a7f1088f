import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, SolverError
from neuralop_jax.implicit import Anderson, Broyden, Picard, Richardson, SteadyState, fixed_point

RANDOM = np.random.default_rng(0)
ROTATION = np.linalg.qr(RANDOM.normal(size=(4, 4)))[0]
SLOW = jnp.asarray(ROTATION @ np.diag([-0.5, 0.3, 0.6, 0.9]) @ ROTATION.T)
SHIFT = jnp.asarray(RANDOM.normal(size=4))
COUPLINGS = jnp.asarray(0.5 * RANDOM.normal(size=(5, 4, 4)))


def affine(x, matrix):
    return matrix @ x + SHIFT.astype(x.dtype)


def curved(x, matrix):
    return jnp.tanh(matrix @ x) + 0.1 * SHIFT


@functools.partial(jax.jit, static_argnames=("method", "max_steps"))
def solve(matrix, method, max_steps=400):
    return fixed_point(affine, jnp.zeros(4), matrix, method=method, rtol=1e-9, max_steps=max_steps, throw=False)


def test_steps_on_an_affine_map_of_known_spectrum():
    """Picard at the rate of the spectral radius; Anderson in n + 1 steps; Broyden in at most 2 n; the flow as well."""
    exact = np.linalg.solve(np.eye(4) - SLOW, SHIFT)
    steps = {}
    for method in (Picard(), Anderson(4), Broyden(8), SteadyState()):
        solution = solve(SLOW, method, max_steps=400)
        assert solution.successful and solution.relative_residual <= 1e-9
        assert abs(np.asarray(solution.value) - exact).max() < 1e-9 * 3.2 / (1 - 0.9)
        steps[type(method)] = int(solution.num_steps)
    assert 0.85 < steps[Picard] / (np.log(1e-9) / np.log(0.9)) < 1
    assert steps[Anderson] == 5 and steps[Broyden] <= 8


def test_damping_and_acceleration_solve_what_the_plain_iteration_cannot():
    """Eigenvalues below -1: damping; above 1 on one side: Anderson and Broyden, for the fixed point is there."""
    expanding = jnp.asarray(np.diag([-1.5, -0.5, 0.0, 0.2]))
    assert solve(expanding, Picard()).result == 8
    for method in (Picard(0.5), Anderson(), Broyden()):
        solution = solve(expanding, method)
        assert solution.successful
        np.testing.assert_allclose(solution.value, np.asarray(SHIFT) / (1 - np.diag(expanding)), rtol=1e-7)
    assert solve(jnp.asarray(np.diag([3.0, -0.5, 0.0, 0.2])), Anderson(4)).successful


def test_broyden_converges_superlinearly_and_picard_does_not(compiled):
    for method, superlinear in ((Broyden(30), True), (Picard(), False)):

        def move(carry, count):
            z, memory = carry
            residual = curved(z, SLOW) - z
            return method.move(memory, z, residual, count, (-1,)), jnp.linalg.norm(residual)  # noqa: B023

        start = jnp.asarray(np.zeros(4))
        sizes = compiled(lambda z: jax.lax.scan(move, (z, method.begin(z, (-1,))), jnp.arange(16))[1], start)  # noqa: B023
        early, late = sizes[7] / sizes[0], sizes[15] / sizes[7]
        assert (late < early**2) == superlinear


@pytest.mark.parametrize("method", [Anderson(), Broyden()])
def test_samples_along_an_axis_are_those_of_vmap_and_a_failed_one_harms_none(method, compiled):
    """Sample 2 has no fixed point that can be found, sample 4 begins with NaN."""
    couplings = np.array(COUPLINGS)
    couplings[2], couplings[4, 0, 0] = 30 * np.eye(4), np.nan
    step = lambda x, a: a @ x + SHIFT
    many = lambda x, a: jnp.einsum("bij,jb->ib", a, x) + SHIFT[:, None]
    options = {"method": method, "max_steps": 3, "rtol": 1e-1, "throw": False}

    def loss(couplings, mapped):
        if mapped:
            found = jax.vmap(lambda a: fixed_point(step, jnp.zeros(4), a, **options))(couplings)
            value = found.value.T
        else:
            found = fixed_point(many, jnp.zeros((4, 5)), couplings, axis=1, **options)
            value = found.value
        whole = jnp.where(jnp.isnan(value), 0, value)
        return jnp.sum(whole**2), (value, found.result, found.num_steps)

    both = compiled(
        lambda a: [jax.value_and_grad(loss, has_aux=True)(a, mapped) for mapped in (True, False)], jnp.asarray(couplings)
    )
    (_, (value, result, steps)), gradient = both[0]
    assert result[4] == 2 and np.isnan(value[:, 4]).all()
    assert (np.isnan(value).all(0) == (result != 0)).all() and np.isfinite(value[:, result == 0]).all()
    assert np.isfinite(gradient[result == 0]).all() and (gradient[4] == 0).all()
    for a, b in zip(jax.tree.leaves(both[0][0]), jax.tree.leaves(both[1][0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert (steps <= 3).all()


def test_derivatives_are_those_of_the_dense_system_whatever_the_linear_solver(compiled):
    c = jnp.asarray(RANDOM.normal(size=4))
    dense = lambda a: jnp.vdot(c, jnp.linalg.solve(jnp.eye(4) - a, SHIFT))
    along = lambda value, s: jax.jvp(jax.grad(lambda s: value(s * SLOW)), (s,), (1.0,))[1]
    wanted, second = compiled(lambda s: (jax.grad(dense)(SLOW), along(dense, s)), 1.0)
    for linear in (None, Richardson(Anderson(4), rtol=1e-13), Richardson(Picard(), rtol=1e-13, max_steps=1000)):
        value = lambda a, linear=linear: jnp.vdot(
            c, fixed_point(affine, jnp.zeros(4), a, method=Anderson(4), rtol=1e-14, linear_solver=linear).value
        )
        np.testing.assert_allclose(compiled(jax.grad(value), SLOW), wanted, rtol=1e-9)
    np.testing.assert_allclose(compiled(lambda s: along(value, s), jnp.asarray(1.0)), second, rtol=1e-8)


def test_trees_captured_values_and_start(compiled):
    def solution(scale, start):
        step = lambda x: {"a": scale * jnp.cos(x["b"]) * jnp.ones((1, 3)), "b": (0.3 * jnp.sin(x["a"]).sum()).reshape(1, 1)}
        return fixed_point(step, start, rtol=1e-12, linear_solver=Richardson(rtol=1e-13)).value["b"].sum()

    start = {"a": jnp.asarray(np.zeros((1, 3))), "b": jnp.asarray(np.zeros((1, 1)))}
    b, slopes = compiled(jax.value_and_grad(solution, argnums=(0, 1)), jnp.asarray(0.7), start)
    # b = 0.9 sin(s cos b)
    inner = 0.9 * np.cos(0.7 * np.cos(b))
    np.testing.assert_allclose(slopes[0], inner * np.cos(b) / (1 + inner * 0.7 * np.sin(b)), rtol=1e-9)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slopes[1]))


def test_failures_are_named_poisoned_accepted_or_raised(compiled):
    doubling, ones = lambda x: 2 * x + 1, jnp.asarray([1.0, 1.0])
    assert compiled(lambda x: fixed_point(doubling, x, method=Picard(), throw=False).result, ones) == 8
    with pytest.raises(SolverError, match=r"the map is no contraction.*\(result 8\). Steps 4\d, relative residual"):
        fixed_point(doubling, ones, method=Picard())
    with pytest.raises(Exception, match=r"the map is no contraction"):
        jax.jit(lambda: fixed_point(doubling, jnp.ones(2), method=Picard()).value)().block_until_ready()
    unstable = compiled(lambda x: fixed_point(lambda x: 3 * x + 1, x, method=SteadyState(), throw=False), ones)
    assert unstable.result == 8 and np.isnan(unstable.value).all()
    short = {"method": Picard(), "max_steps": 4, "throw": False}
    strict = solve(SLOW, Picard(), max_steps=4)
    assert strict.result == 1 and strict.num_steps == 4 and np.isnan(strict.value).all()
    kept = jax.jit(lambda a: fixed_point(affine, jnp.zeros(4), a, accept=0.5, **short))(SLOW)
    np.testing.assert_allclose(kept.relative_residual, strict.relative_residual)
    four = functools.reduce(lambda x, _: np.asarray(SLOW) @ x + np.asarray(SHIFT), range(4), np.zeros(4))
    assert kept.result == 1 and not kept.successful
    np.testing.assert_allclose(kept.value, four, rtol=1e-12)
    with pytest.raises(SolverError, match="used up its steps"):
        kept.or_raise()
    single = compiled(lambda a: fixed_point(affine, jnp.zeros(4, "float32"), a, rtol=0, atol=0), SLOW.astype("float32"))
    assert single.value.dtype == np.float32 and single.relative_residual < 2e-6  # round-off is reached, not asked for in vain


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"a start of float64\(2,\) and a step that returns float64\(3,\)"):
        fixed_point(lambda x: jnp.ones(3), jnp.ones(2))
    with pytest.raises(ConfigError, match="real floating arrays, got int64"):
        fixed_point(lambda x: x, 1)
    with pytest.raises(ConfigError, match="one array with such an axis. Use jax.vmap"):
        fixed_point(lambda x: x, jnp.ones(2), axis=1)
    with pytest.raises(ConfigError, match="Leave out axis, and use jax.vmap"):
        fixed_point(lambda x: x, jnp.ones((2, 2)), axis=1, method=SteadyState())
    with pytest.raises(ConfigError, match="Picard.damping must be above 0 and at most 1, got 2"):
        Picard(2)
    with pytest.raises(ConfigError, match="Anderson.history must be an integer of at least 1, got 0. Picard has none"):
        Anderson(0)
