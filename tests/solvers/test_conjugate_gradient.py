import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from neuralop_jax._result import MAX_STEPS, NONFINITE, NOT_POSITIVE, SUCCESS
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels._grid_transfer import AxisNodes
from neuralop_jax.kernels._smoothers import GaussSeidel, Jacobi
from neuralop_jax.kernels._stencil import diffusion_stencil
from neuralop_jax.solvers._conjugate_gradient import ConjugateGradient, FlexibleConjugateGradient
from neuralop_jax.solvers._finite_volumes import darcy_stencil
from neuralop_jax.solvers._multigrid import Multigrid

POSITIVE = lx.positive_semidefinite_tag


def spd(size, condition, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    matrix = basis @ np.diag(np.geomspace(1, condition, size)) @ basis.T
    return jnp.asarray((matrix + matrix.T) / 2), jnp.asarray(rng.standard_normal(size))


def operator_of(matrix):
    return lx.MatrixLinearOperator(matrix, POSITIVE)


def textbook(matrix, b, steps):
    """Conjugate gradients in NumPy: the norms of the residuals."""
    matrix, r = np.asarray(matrix), np.asarray(b)
    p, norms = r, []
    for _ in range(steps):
        image = matrix @ p
        alpha = r @ r / (p @ image)
        new = r - alpha * image
        p, r = new + (new @ new) / (r @ r) * p, new
        norms.append(np.linalg.norm(r))
    return np.array(norms)


@functools.partial(eqx.filter_jit)
def history(matrix, b, solver, preconditioner, steps):
    """The iterates after 1, 2, ... steps, each from a solve of its own."""

    def run(max_steps):
        shorter = eqx.tree_at(lambda s: s.max_steps, solver, max_steps)
        options = {} if preconditioner is None else {"preconditioner": preconditioner}
        return lx.linear_solve(operator_of(matrix), b, shorter, options=options, throw=False).value

    return jax.lax.map(run, jnp.arange(1, steps + 1))


@pytest.mark.parametrize(
    "solver", [FlexibleConjugateGradient(0.0), ConjugateGradient(0.0), FlexibleConjugateGradient(0.0, truncation=2)]
)
def test_with_the_identity_the_residuals_are_those_of_conjugate_gradients(solver):
    """The first 50 iterations at condition number 1000, to 1e-10 relative to the right-hand side.

    A Laplacian, whose outer eigenvalues 50 iterations do not find: from there on round-off parts any two implementations.
    """
    n = 48
    stencil = diffusion_stencil([jnp.ones((1, 1))] * 2, periodic=(False, False))
    matrix, b = stencil.matrix((n, n)), jax.random.normal(jax.random.key(0), (n * n,))
    residuals = jnp.linalg.norm(b[None] - history(matrix, b, solver, None, 50) @ matrix, axis=1)
    np.testing.assert_allclose(residuals, textbook(matrix, b, 50), rtol=0, atol=1e-10 * np.linalg.norm(b))


class Inverse(eqx.Module):
    matrix: jax.Array

    def __call__(self, r):
        return jnp.linalg.solve(self.matrix, r)


class RandomNetwork(eqx.Module):
    network: eqx.nn.MLP
    sign: float

    def __call__(self, r):
        norm = jnp.linalg.norm(r)
        return self.sign * norm * self.network(r / norm)


def test_with_the_exact_inverse_one_step_suffices():
    matrix, b = spd(40, 1e3)
    solution = lx.linear_solve(
        operator_of(matrix),
        b,
        FlexibleConjugateGradient(1e-9),
        options={"preconditioner": -2.5 * lx.MatrixLinearOperator(jnp.linalg.inv(matrix))},
    )
    assert solution.stats["num_steps"] <= 2
    assert (
        lx.linear_solve(
            operator_of(matrix), b, FlexibleConjugateGradient(1e-9), options={"preconditioner": Inverse(matrix)}
        ).stats["num_steps"]
        <= 2
    )


def test_random_networks_never_increase_the_error_and_are_reported():
    """100 untrained networks: the error in the A-norm falls in every step, and no solve claims to have converged."""
    matrix, b = spd(24, 1e2)
    exact = jnp.linalg.solve(matrix, b)
    solver = FlexibleConjugateGradient(1e-8, max_steps=12)

    @jax.jit
    @jax.vmap
    def solve(key):
        network = eqx.nn.MLP(24, 24, 16, 1, activation=jnp.tanh, key=key)
        options = {"preconditioner": RandomNetwork(network, 1.0)}
        run = lambda n: lx.linear_solve(
            operator_of(matrix), b, eqx.tree_at(lambda s: s.max_steps, solver, n), options=options, throw=False
        )
        values = jax.lax.map(lambda n: run(n).value, jnp.arange(1, 13))
        last = run(jnp.asarray(12))
        return values, last.stats

    values, stats = solve(jax.random.split(jax.random.key(0), 100))
    errors = jnp.concatenate([jnp.zeros((100, 1, 24)), values], 1) - exact[None, None]
    energies = jnp.einsum("nki,ij,nkj->nk", errors, matrix, errors)
    assert jnp.all(energies[:, 1:] <= energies[:, :-1] * (1 + 1e-12))
    assert stats["result"].tolist() == [MAX_STEPS] * 100 and stats["num_steps"].tolist() == [12] * 100
    true = jnp.linalg.norm(b[None] - values[:, -1] @ matrix, axis=1) / jnp.linalg.norm(b)
    np.testing.assert_allclose(stats["relative_residual"], true, rtol=1e-3)


def test_a_preconditioner_that_is_no_positive_operator_is_refused():
    matrix, b = spd(6, 10.0)
    for wrong in (Inverse(matrix), lx.MatrixLinearOperator(matrix)):
        with pytest.raises(ConfigError, match="FlexibleConjugateGradient"):
            lx.linear_solve(operator_of(matrix), b, ConjugateGradient(), options={"preconditioner": wrong})
    for solver in (ConjugateGradient(), FlexibleConjugateGradient()):
        with pytest.raises(ConfigError, match="positive_semidefinite_tag"):
            lx.linear_solve(lx.MatrixLinearOperator(matrix), b, solver)


def test_how_it_ended():
    matrix, b = spd(6, 10.0)
    codes = lambda m, b, solver: lx.linear_solve(operator_of(m), b, solver, throw=False).stats["result"]
    indefinite = jnp.diag(jnp.asarray([1.0, 1, 1, -2, -2, -2]))
    assert codes(matrix, b, ConjugateGradient()) == SUCCESS
    assert codes(matrix, jnp.zeros(6), ConjugateGradient()) == SUCCESS
    assert codes(matrix, b, ConjugateGradient(max_steps=2)) == MAX_STEPS
    assert codes(indefinite, jnp.ones(6), ConjugateGradient()) == NOT_POSITIVE
    assert codes(matrix, b.at[2].set(jnp.nan), ConjugateGradient()) == NONFINITE
    solution = lx.linear_solve(operator_of(indefinite), jnp.ones(6), ConjugateGradient(), throw=False)
    assert jnp.all(jnp.isfinite(solution.value)) and solution.result != lx.RESULTS.successful
    with pytest.raises(eqx.EquinoxRuntimeError, match="max"):
        lx.linear_solve(operator_of(matrix), b, ConjugateGradient(max_steps=2))


def test_a_start_and_a_pytree():
    matrix, b = spd(6, 10.0)
    exact = jnp.linalg.solve(matrix, b)
    assert lx.linear_solve(operator_of(matrix), b, ConjugateGradient(), options={"y0": exact}).stats["num_steps"] == 0
    pair = lx.FunctionLinearOperator(
        lambda x: {"a": 2 * x["a"], "b": matrix @ x["b"]},
        {"a": jax.ShapeDtypeStruct((3,), b.dtype), "b": jax.ShapeDtypeStruct((6,), b.dtype)},
        POSITIVE,
    )
    solution = lx.linear_solve(pair, {"a": jnp.ones(3), "b": b}, ConjugateGradient(1e-12)).value
    np.testing.assert_allclose(solution["a"], 0.5, rtol=1e-11)
    np.testing.assert_allclose(solution["b"], exact, rtol=1e-9)


@pytest.mark.parametrize("solver", [ConjugateGradient(1e-13), FlexibleConjugateGradient(1e-13)])
def test_derivatives_are_implicit(solver):
    matrix, b = spd(8, 50.0)

    def objective(scale, b):
        return jnp.sum(lx.linear_solve(operator_of(scale * matrix), b, solver).value ** 2)

    value = objective(2.0, b)
    by_scale, by_b = jax.grad(objective, argnums=(0, 1))(2.0, b)
    assert abs(by_scale + value) < 1e-11 * value  # the objective is proportional to scale^-2
    expected = 2 * jnp.linalg.solve(2 * matrix, jnp.linalg.solve(2 * matrix, b))
    np.testing.assert_allclose(by_b, expected, rtol=1e-9)
    np.testing.assert_allclose(jax.jvp(lambda s: objective(s, b), (2.0,), (1.0,))[1], by_scale, rtol=1e-11)


def two_phase(n, seed=0):
    x, rng = np.linspace(0, 1, n), np.random.default_rng(seed)
    modes = [(i, j) for i in range(8) for j in range(8) if i + j]
    waves = sum(
        rng.standard_normal() / (i * i + j * j + 1) * np.outer(np.cos(np.pi * i * x), np.cos(np.pi * j * x)) for i, j in modes
    )
    return jnp.asarray(np.where(waves >= 0, 12.0, 3.0))


@eqx.filter_jit
def steps(stencil, nodes, rtol, smoother=None, dtype=None):
    multigrid = Multigrid(stencil, nodes, smoother=smoother, dtype=dtype)
    f = jax.random.normal(jax.random.key(0), multigrid.shape)
    operator = lx.FunctionLinearOperator(stencil, jax.ShapeDtypeStruct(f.shape, f.dtype), POSITIVE)
    solution = lx.linear_solve(operator, f, ConjugateGradient(rtol), options={"preconditioner": multigrid.preconditioner()})
    residual = jnp.linalg.norm((f - stencil(solution.value)).ravel()) / jnp.linalg.norm(f.ravel())
    return solution.stats["num_steps"], residual


@pytest.mark.parametrize("n, smoother", [(31, None), (63, None), (127, None), (255, None), (31, GaussSeidel()), (31, Jacobi())])
def test_poisson_in_12_steps_to_1e_10(n, smoother):
    stencil = diffusion_stencil([jnp.full((1, 1), (n + 1.0) ** 2)] * 2, periodic=(False,) * 2)
    count, residual = steps(stencil, [AxisNodes(n, "dirichlet")] * 2, 1e-10, smoother)
    assert count <= 12 and residual <= 1e-10


@pytest.mark.parametrize("n", [32, 83, 512])
def test_poisson_in_10_steps_to_1e_8_on_any_size(n):
    stencil = diffusion_stencil([jnp.full((1, 1), (n + 1.0) ** 2)] * 2, periodic=(False,) * 2)
    count, residual = steps(stencil, [AxisNodes(n, "dirichlet")] * 2, 1e-8, dtype=jnp.float32)
    assert count <= 10 and residual <= 1e-8


@pytest.mark.parametrize("n", [65, 141, 257])
def test_two_phase_darcy_in_20_steps_to_1e_10(n):
    grid = Grid((n, n), boundary=("dirichlet",) * 2)
    count, residual = steps(*darcy_stencil(two_phase(n), grid), 1e-10)
    assert count <= 20 and residual <= 1e-10


def test_derivatives_do_not_pass_through_the_preconditioner():
    """A preconditioner whose derivative nobody stopped is refused by Lineax, and a stopped one does not change derivatives."""
    grid, f = Grid((9, 9), boundary=("dirichlet",) * 2), jnp.ones((7, 7))

    def objective(a, stop):
        stencil, nodes = darcy_stencil(a, grid)
        multigrid = Multigrid(stop(stencil), nodes, coarsest=10)
        operator = lx.FunctionLinearOperator(stencil, jax.ShapeDtypeStruct(f.shape, f.dtype), POSITIVE)
        return jnp.sum(
            lx.linear_solve(operator, f, FlexibleConjugateGradient(1e-12), options={"preconditioner": multigrid}).value
        )

    a = two_phase(9)
    gradient = jax.grad(lambda a: objective(a, jax.lax.stop_gradient))(a)
    dense = jax.grad(lambda a: jnp.sum(jnp.linalg.solve(darcy_stencil(a, grid)[0].matrix((7, 7)), f.ravel())))(a)
    np.testing.assert_allclose(gradient, dense, atol=1e-11 * jnp.abs(dense).max())
    with pytest.raises(Exception, match="options"):
        jax.grad(lambda a: objective(a, lambda stencil: stencil))(a)
