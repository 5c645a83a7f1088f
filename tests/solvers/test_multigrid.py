import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax._result import DIVERGED, NONFINITE, SUCCESS
from neuralop_jax.errors import ConfigError, SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels._grid_transfer import AxisNodes
from neuralop_jax.kernels._multigrid import cycle
from neuralop_jax.kernels._smoothers import Chebyshev, GaussSeidel, Jacobi
from neuralop_jax.kernels._stencil import diffusion_stencil
from neuralop_jax.solvers._finite_volumes import darcy_stencil, rediscretized
from neuralop_jax.solvers._multigrid import Multigrid


def laplacian(n, dims=2):
    return diffusion_stencil([jnp.full((1,) * dims, (n + 1.0) ** 2)] * dims, periodic=(False,) * dims)


def rediscretized_laplacian(n, dims=2, *, coarsest=1, **options):
    sizes = [n]
    while sizes[-1] ** dims > coarsest:
        sizes.append(sizes[-1] // 2)
    coarse = [laplacian(m, dims) for m in sizes[1:]]
    return Multigrid(laplacian(n, dims), [AxisNodes(n, "dirichlet")] * dims, coarse=coarse, coarsest=coarsest, **options)


@eqx.filter_jit
def error_norms(multigrid, steps):
    """2-norms of the error before every cycle, from a random start, renormalized."""

    def step(u, _):
        u = cycle(multigrid.levels, jnp.zeros_like(u), u, kind=multigrid.kind)
        norm = jnp.linalg.norm(u.ravel())
        return u / norm, norm

    start = jax.random.normal(jax.random.key(1), multigrid.shape)
    return jax.lax.scan(step, start / jnp.linalg.norm(start.ravel()), length=steps)[1]


def contraction(multigrid):
    """The mean ratio of the error's 2-norms over cycles 8 to 12."""
    return float(jnp.exp(jnp.mean(jnp.log(error_norms(multigrid, 12)[8:]))))


def two_phase(shape, high=12.0, low=3.0, seed=0):
    """Blobs about a seventh of the domain wide."""
    rng = np.random.default_rng(seed)
    x, y = (np.linspace(0, 1, n) for n in shape)
    waves = sum(
        rng.standard_normal() / (i * i + j * j + 1) * np.outer(np.cos(np.pi * i * x), np.cos(np.pi * j * y))
        for i in range(8)
        for j in range(8)
        if i + j
    )
    return jnp.where(waves >= 0, high, low)


CYCLES = {"V(1,1)": ("V", 1, 1), "W(1,1)": ("W", 1, 1), "V(2,1)": ("V", 2, 1), "V(2,2)": ("V", 2, 2)}
MEASURED = {
    "jacobi": (Jacobi(), True, (0.351, 0.340, 0.223, 0.174)),
    "red-black": (GaussSeidel(), False, (0.112, 0.069, 0.075, 0.058)),
    "red-black symmetric": (GaussSeidel(), True, (0.259, 0.233, 0.163, 0.122)),
    "chebyshev 2": (Chebyshev(2), True, (0.147, 0.114, 0.106, 0.082)),
    "chebyshev 3": (Chebyshev(3), True, (0.100, 0.074, 0.071, 0.057)),
}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("index, sweeps", enumerate(CYCLES))
def test_contraction_of_cycles_on_127_points(name, index, sweeps):
    """The table of `mgno.md`, section 6: Dirichlet, coarsest grid of one point."""
    smoother, symmetric, expected = MEASURED[name]
    kind, pre, post = CYCLES[sweeps]
    multigrid = rediscretized_laplacian(127, smoother=smoother, symmetric=symmetric, kind=kind, num_pre=pre, num_post=post)
    assert abs(contraction(multigrid) - expected[index]) < 0.02


@pytest.mark.parametrize(
    "smoother, weighting, dims, expected",
    [
        (Jacobi(), "full", 2, (0.600, 0.360, 0.216, 0.137)),
        (GaussSeidel(), "full", 2, (0.250, 0.074, 0.053, 0.041)),
        (GaussSeidel(), "half", 2, (0.500, 0.125, 0.034, 0.025)),
        (Jacobi(), "full", 1, (0.333, 0.111, 0.079, 0.062)),
    ],
    ids=["jacobi", "red-black", "red-black, half weighting", "jacobi in 1d"],
)
def test_two_grid_contraction_is_that_of_fourier_analysis(smoother, weighting, dims, expected):
    n = 63 if dims == 1 else 31
    for steps, factor in enumerate(expected, 1):
        options = {"num_pre": (steps + 1) // 2, "num_post": steps // 2, "symmetric": False, "weighting": weighting}
        multigrid = rediscretized_laplacian(n, dims, smoother=smoother, coarsest=(n // 2) ** dims, **options)
        assert len(multigrid.levels) == 2
        assert abs(float(jnp.exp(jnp.mean(jnp.log(error_norms(multigrid, 150)[-20:])))) - factor) < 0.02


def test_contraction_does_not_depend_on_the_grid():
    factors = [contraction(rediscretized_laplacian(n, smoother=GaussSeidel(), symmetric=False)) for n in (31, 127, 255)]
    assert max(factors) - min(factors) < 0.02
    np.testing.assert_allclose(factors, [0.107, 0.112, 0.106], atol=0.02)


@pytest.mark.parametrize("shape", [(83, 83), (84, 139)])
def test_galerkin_cycles_contract_on_grids_of_any_size(shape):
    stencil = diffusion_stencil([jnp.ones((1, 1))] * 2, periodic=(False, False))
    assert contraction(Multigrid(stencil, [AxisNodes(n, "dirichlet") for n in shape], coarsest=20)) < 0.16


@pytest.mark.parametrize("dims, size, bound", [(1, 419, 0.15), (3, 26, 0.25)])
def test_one_and_three_dimensions(dims, size, bound):
    stencil = diffusion_stencil([jnp.ones((1,) * dims)] * dims, periodic=(False,) * dims)
    assert contraction(Multigrid(stencil, [AxisNodes(size, "dirichlet")] * dims, coarsest=30)) < bound


@pytest.mark.parametrize("ratio", [3.0, 20.0])
def test_stretched_grids_are_coarsened_along_the_short_spacing_first(ratio):
    n, m = 60, 40
    stencil = diffusion_stencil([jnp.full((1, 1), ratio**2), jnp.ones((1, 1))], periodic=(False, False))
    nodes = [AxisNodes(n, "dirichlet", 1 / ratio), AxisNodes(m, "dirichlet", 1.0)]
    assert contraction(Multigrid(stencil, nodes, coarsest=20)) < 0.32


solved = eqx.filter_jit(Multigrid.solve)


@functools.cache
def galerkin_darcy(n, dtype=None, high=12.0):
    grid = Grid((n, n), boundary=("dirichlet",) * 2)
    stencil, nodes = darcy_stencil(two_phase((n, n), high), grid)
    return eqx.filter_jit(Multigrid)(stencil, nodes, dtype=dtype)


def test_the_preconditioner_is_symmetric_and_positive():
    multigrid = galerkin_darcy(85)
    fields = jax.random.normal(jax.random.key(0), (100, 83, 83))
    images = jax.jit(jax.vmap(multigrid))(fields)
    products = jnp.einsum("aij,bij->ab", fields, images)
    assert jnp.abs(products - products.T).max() < 1e-12 * jnp.abs(products).max()
    assert jnp.linalg.eigvalsh(products)[0] > 0
    assert jnp.all(jnp.diagonal(products) > 0)


def test_a_cycle_that_is_not_symmetric_is_no_preconditioner():
    for options in ({"symmetric": False}, {"num_pre": 2}):
        with pytest.raises(ConfigError, match="symmetric=True and num_pre equal to num_post"):
            Multigrid(laplacian(7), [AxisNodes(7, "dirichlet")] * 2, coarsest=10, **options).preconditioner()


def test_the_iteration_reports_the_true_residual():
    multigrid, f = galerkin_darcy(85), jnp.ones((83, 83))
    solution = solved(multigrid, f, rtol=1e-10)
    true = jnp.linalg.norm((f - multigrid.stencil(solution.value)).ravel()) / jnp.linalg.norm(f.ravel())
    assert solution.successful and true <= 1e-10
    assert abs(solution.relative_residual / true - 1) < 1e-3
    again = solved(multigrid, f, solution.value, rtol=1e-10)
    assert again.num_steps == 0


def test_single_precision_cycles_reach_double_precision():
    solution = solved(galerkin_darcy(85, jnp.float32), jnp.ones((83, 83)), rtol=1e-10)
    assert solution.value.dtype == jnp.float64 and solution.relative_residual <= 1e-10


def contrast_100(weighting, high=100.0):
    grid, a = Grid((65, 65), boundary=("dirichlet",) * 2), two_phase((65, 65), high, 1.0)
    stencil, nodes = darcy_stencil(a, grid)
    coarse = rediscretized(a, grid, weighting=weighting, coarsest=1)
    return Multigrid(stencil, nodes, coarse=coarse, smoother=GaussSeidel(), coarsest=1)


def test_injected_coefficients_diverge_at_contrast_100_and_the_guard_says_so():
    f = jnp.ones((63, 63))
    solution = jax.jit(lambda f: contrast_100("injected").solve(f, throw=False))(f)
    assert solution.result == DIVERGED and solution.num_steps < 20
    assert jnp.all(jnp.isfinite(solution.value)) and jnp.isfinite(solution.relative_residual)
    with pytest.raises(SolverError, match="preconditioner of conjugate gradients"):
        solution.or_raise()
    slow = jax.jit(lambda f: contrast_100("full").solve(f, max_steps=300, throw=False))(f)
    assert slow.successful and slow.num_steps > 30


def test_result_codes_are_those_of_each_sample():
    """Samples end on their own: the good ones as if they were alone, also beside one that diverges and one that is not finite."""
    f = jnp.ones((63, 63))

    @jax.jit
    @jax.vmap
    def solve(high, f):
        return contrast_100("injected", high).solve(f, rtol=1e-6, max_steps=40, throw=False)

    solution = solve(jnp.asarray([1.0, 100.0, 2.0, 1.0]), jnp.stack([f, f, f, f * jnp.nan]))
    assert solution.result.tolist() == [SUCCESS, DIVERGED, SUCCESS, NONFINITE]
    alone = solve(jnp.asarray([1.0]), f[None])
    assert alone.num_steps[0] == solution.num_steps[0] and solution.num_steps[3] == 0
    np.testing.assert_allclose(alone.value[0], solution.value[0], rtol=1e-12)
    with pytest.raises(SolverError, match="diverged"):
        solution.or_raise()


def test_too_few_steps_are_reported():
    with pytest.raises(SolverError, match=r"used up its steps.*max_steps.*Steps 2, residual"):
        galerkin_darcy(85).solve(jnp.ones((83, 83)), max_steps=2)
    with pytest.raises(eqx.EquinoxRuntimeError, match="used up its steps"):
        eqx.filter_jit(lambda m, f: m.solve(f, max_steps=2).value)(galerkin_darcy(85), jnp.ones((83, 83))).block_until_ready()


@pytest.mark.parametrize("boundary, n", [("periodic", 50), ("periodic", 37), ("neumann", 48), ("neumann", 45)])
def test_singular_systems_without_a_mean(boundary, n):
    grid = Grid((n, n), boundary=(boundary,) * 2, centered=(boundary == "neumann",) * 2)
    stencil, nodes = darcy_stencil(two_phase((n, n)), grid)
    multigrid = eqx.filter_jit(Multigrid)(stencil, nodes, singular=True)
    f = jax.random.normal(jax.random.key(0), (n, n))
    f = f - f.mean()
    solution = solved(multigrid, f, rtol=1e-10)
    assert solution.num_steps < 40
    assert jnp.linalg.norm(stencil(solution.value) - f) < 1e-9 * jnp.linalg.norm(f)
    assert abs(solution.value.mean()) < 1e-12 * jnp.abs(solution.value).max()


def test_full_multigrid_reaches_the_discretization_error():
    """Sizes doubled divide the total error by four, and the algebraic error stays below half of the discretization error."""
    totals = []
    for n in (15, 31, 63, 127):
        x = jnp.arange(1, n + 1) / (n + 1)
        exact = jnp.sin(jnp.pi * x)[:, None] * jnp.sin(2 * jnp.pi * x)[None]
        multigrid = rediscretized_laplacian(n, smoother=GaussSeidel(), symmetric=False)
        solved = exact * 5 * np.pi**2 / (4 * (n + 1.0) ** 2 * (np.sin(np.pi / (n + 1) / 2) ** 2 + np.sin(np.pi / (n + 1)) ** 2))
        estimate = eqx.filter_jit(Multigrid.full_multigrid)(multigrid, 5 * jnp.pi**2 * exact)
        discretization, algebraic = jnp.abs(solved - exact).max(), jnp.abs(estimate - solved).max()
        assert algebraic < 0.5 * discretization
        totals.append(float(jnp.abs(estimate - exact).max()))
        if n == 31:
            twice = eqx.filter_jit(lambda m, f: m.full_multigrid(f, cycles=2))(multigrid, 5 * jnp.pi**2 * exact)
            assert jnp.abs(twice - solved).max() < 0.1 * discretization
    assert abs(discretization - 1.707e-4) < 1e-7
    ratios = np.divide(totals[:-1], totals[1:])
    assert np.all((ratios > 3.7) & (ratios < 4.3)), ratios


def test_unknown_options():
    with pytest.raises(ConfigError, match="Multigrid.kind"):
        Multigrid(laplacian(7), [AxisNodes(7, "dirichlet")] * 2, kind="v")
    with pytest.raises(ConfigError, match="halved evenly"):
        rediscretized(jnp.ones((84, 85)), Grid((84, 85), boundary=("dirichlet",) * 2))
