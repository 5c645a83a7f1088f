import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax._result import NONFINITE, NOT_POSITIVE, SUCCESS
from neuralop_jax.errors import ConfigError, SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers._elliptic import solve_darcy, solve_poisson
from neuralop_jax.solvers._finite_volumes import darcy_stencil
from neuralop_jax.solvers._multigrid import Multigrid


def grid_of(shape, *boundary, **options):
    boundary = boundary * len(shape) if len(boundary) == 1 else boundary
    return Grid(shape, boundary=boundary, centered=tuple(kind == "neumann" for kind in boundary), **options)


def points(grid):
    return np.meshgrid(*grid.coordinates(), indexing="ij")


def two_phase(grid, high=12.0, low=3.0, seed=0):
    rng, coordinates = np.random.default_rng(seed), points(grid)
    waves = np.zeros(grid.shape)
    for k in np.ndindex((6,) * grid.num_dims):
        if any(k):
            shape = np.prod([np.cos(np.pi * i * x) for i, x in zip(k, coordinates)], axis=0)
            waves += rng.standard_normal() / (sum(i * i for i in k) + 1) * shape
    return jnp.asarray(np.where(waves >= 0, high, low))[None]


def manufactured(a, u, c, coordinates):
    """The source for which `u` is the solution, by automatic differentiation of the strong form."""

    def source(x):
        flux = lambda x: a(x) * jax.grad(u)(x)
        return -jnp.trace(jax.jacfwd(flux)(x)) + c(x) * u(x)

    at = jnp.asarray(np.stack([x.ravel() for x in coordinates], 1))
    shape = (1, *coordinates[0].shape)
    return jax.jit(lambda at: [jax.vmap(f)(at).reshape(shape) for f in (a, u, c, source)])(at)


CASES = {
    "1d dirichlet": (((17,), (65,)), ("dirichlet",), lambda x: jnp.sin(jnp.pi * x[0]) * (1 + x[0])),
    "2d dirichlet": (
        ((17, 20), (33, 39), (65, 77)),
        ("dirichlet",),
        lambda x: jnp.sin(jnp.pi * x[0]) * jnp.sin(2 * jnp.pi * x[1]),
    ),
    "2d prescribed": (((17, 20), (33, 39)), ("dirichlet",), lambda x: jnp.exp(x[0] - 2 * x[1])),
    "2d neumann": (((16, 20), (32, 40)), ("neumann",), lambda x: jnp.cos(jnp.pi * x[0]) * jnp.cos(2 * jnp.pi * x[1])),
    "2d periodic": (((16, 20), (32, 40)), ("periodic",), lambda x: jnp.sin(2 * jnp.pi * (x[0] + x[1]))),
    "2d mixed": (((17, 16), (33, 32)), ("dirichlet", "neumann"), lambda x: jnp.sin(jnp.pi * x[0]) * jnp.cos(jnp.pi * x[1])),
    "3d dirichlet": (((9, 9, 10), (17, 17, 19)), ("dirichlet",), lambda x: jnp.prod(jnp.sin(jnp.pi * x))),
}
RUNS = [(name, "harmonic") for name in CASES] + [("2d dirichlet", "arithmetic")]


@pytest.mark.parametrize("name, faces", RUNS)
def test_manufactured_solutions_converge_at_second_order(name, faces):
    shapes, boundary, u = CASES[name]
    a = lambda x: 1.5 + 0.5 * jnp.prod(jnp.cos(2 * jnp.pi * x))
    c = lambda x: 2 + jnp.cos(2 * jnp.pi * x[0])
    errors = []
    for shape in shapes:
        grid = grid_of(shape, *boundary)
        permeability, exact, reaction, f = manufactured(a, u, c, points(grid))
        prescribed = exact if name == "2d prescribed" else None
        solution = solve_darcy(permeability, f, grid, reaction=reaction, boundary_values=prescribed, faces=faces, rtol=1e-9)
        errors.append(float(jnp.abs(solution.value - exact).max()))
    slope = np.polyfit(np.log([max(shape) for shape in shapes]), np.log(errors), 1)[0]
    assert slope <= -1.9, errors


def test_constant_permeability_on_the_unit_square():
    grid = grid_of((141, 141), "dirichlet")
    one = jnp.ones((1, 141, 141))
    u = solve_darcy(one, one, grid).value
    assert abs(u.max() - 0.0736714) < 1e-4
    assert abs(u.mean() * 141**2 / 140**2 - 0.0351443) < 1e-4  # the trapezoidal rule
    np.testing.assert_allclose(solve_poisson(one, grid).value, u, rtol=1e-9)
    scaled = solve_darcy(3 * one, one, grid).value
    np.testing.assert_allclose(scaled, u / 3, atol=1e-9)


def test_two_phase_solutions_stay_within_the_bounds_of_the_maximum_principle():
    grid = grid_of((85, 85), "dirichlet")
    permeability = jnp.stack([two_phase(grid, seed=seed) for seed in range(4)])
    ones = jnp.ones((4, 1, 85, 85))
    solution = jax.jit(jax.vmap(lambda a, f: solve_darcy(a, f, grid, throw=False)))(permeability, ones)
    u = solution.value
    assert solution.result.tolist() == [0] * 4 and jnp.all(solution.num_steps <= 12)
    assert jnp.all(u >= 0) and jnp.all(u <= 0.0245571)
    assert jnp.all(u.mean((1, 2, 3)) > 0.0029287) and jnp.all(u.mean((1, 2, 3)) < 0.0117148)
    boundary = u.at[:, :, 1:-1, 1:-1].set(0)
    assert jnp.all(boundary == 0)
    alone = solve_darcy(permeability[2], ones[2], grid)
    assert alone.num_steps == solution.num_steps[2]
    np.testing.assert_allclose(alone.value, u[2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
def test_layered_media_are_exact_with_harmonic_faces(axis):
    """The flux across layers between nodes is constant, so that the solution is piecewise linear in the resistance."""
    layers = np.repeat([3.0, 12.0, 1.0], [7, 5, 9])
    a = jnp.asarray(np.broadcast_to(layers[:, None], (21, 8)))
    resistance = np.concatenate([[0.0], np.cumsum(0.5 / layers[1:] + 0.5 / layers[:-1])])
    exact = jnp.asarray(np.broadcast_to((resistance / resistance[-1])[:, None], (21, 8)))
    turn = lambda x: (x if axis == 0 else x.T)[None]
    boundary = ("dirichlet", "neumann") if axis == 0 else ("neumann", "dirichlet")
    grid = grid_of((21, 8) if axis == 0 else (8, 21), *boundary)
    solve = lambda faces: (
        solve_darcy(turn(a), jnp.zeros((1, *grid.shape)), grid, boundary_values=turn(exact), faces=faces, rtol=1e-12).value
    )
    np.testing.assert_allclose(solve("harmonic"), turn(exact), atol=1e-11)
    assert jnp.abs(solve("arithmetic") - turn(exact)).max() > 1e-3


@pytest.mark.parametrize(
    "shape, boundary",
    [((14, 15), ("periodic",)), ((14, 15), ("neumann",)), ((9,), ("periodic",)), ((8, 9), ("neumann", "periodic"))],
)
def test_without_boundary_or_reaction_the_mean_is_projected_out(shape, boundary):
    grid = grid_of(shape, *boundary)
    a, f = two_phase(grid), jax.random.normal(jax.random.key(0), (1, *shape))
    f = f - f.mean()
    u = solve_darcy(a, f, grid, rtol=1e-11).value
    dense = darcy_stencil(a[0], grid)[0].matrix(shape)
    expected = np.linalg.pinv(dense, rcond=1e-12) @ np.ravel(f)
    np.testing.assert_allclose(u.ravel(), expected, atol=1e-9 * np.abs(expected).max())
    with pytest.raises(SolverError, match="Subtract the mean"):
        solve_darcy(a, f + 0.1, grid)


def test_single_precision_ends_at_round_off():
    grid = grid_of((65, 65), "dirichlet")
    a, f = two_phase(grid), jnp.ones((1, 65, 65))
    exact = solve_darcy(a, f, grid, rtol=1e-9).value
    single = solve_darcy(a.astype(jnp.float32), f.astype(jnp.float32), grid)
    assert single.value.dtype == jnp.float32 and single.successful and single.num_steps < 10
    assert jnp.abs(single.value - exact).max() < 3e-5 * exact.max()


def test_gradient_of_the_squared_norm_against_differences_and_unrolled_cycles():
    grid = grid_of((22, 22), "dirichlet")
    a, f = two_phase(grid, 4.0, 1.0), jnp.ones((1, 22, 22))
    objective = lambda a: jnp.sum(solve_darcy(a, f, grid, rtol=1e-13).value ** 2)

    @jax.jit
    def unrolled(a):
        stencil, nodes = darcy_stencil(a[0], grid)
        multigrid = Multigrid(stencil, nodes, coarsest=30)
        step = lambda u, _: (u + multigrid(f[0, 1:-1, 1:-1] - stencil(u)), None)
        return jnp.sum(jax.lax.scan(step, jnp.zeros((20, 20)), length=20)[0] ** 2)

    value, gradient = jax.value_and_grad(objective)(a)
    other, through_cycles = jax.value_and_grad(unrolled)(a)
    assert abs(value - other) < 1e-10 * value
    assert jnp.abs(gradient - through_cycles).max() < 1e-6 * jnp.abs(gradient).max()
    for seed in range(3):
        direction = jax.random.normal(jax.random.key(seed), a.shape)
        difference = (objective(a + 1e-4 * direction) - objective(a - 1e-4 * direction)) / 2e-4
        slope = jnp.vdot(gradient, direction)
        assert abs(difference - slope) < 1e-6 * jnp.linalg.norm(gradient.ravel()) * jnp.linalg.norm(direction.ravel())
        np.testing.assert_allclose(jax.jvp(objective, (a,), (direction,))[1], slope, rtol=1e-8)


def test_derivatives_with_respect_to_every_field():
    """Forward and reverse mode against a dense solve of the same equations."""
    grid, shape = grid_of((9, 8), "dirichlet", "neumann"), (1, 9, 8)
    fields = [1 + jax.random.uniform(jax.random.key(k), shape) for k in range(4)]

    def iterative(a, f, c, g):
        return solve_darcy(a, f, grid, reaction=c, boundary_values=g, rtol=1e-13).value

    def dense(a, f, c, g):
        matrix = darcy_stencil(a[0], grid, reaction=c[0])[0].matrix((7, 8))
        ends = [2 * x * y / (x + y) / grid.spacing[0] ** 2 for x, y in ((a[0, 0], a[0, 1]), (a[0, -1], a[0, -2]))]
        f = f[0, 1:-1].at[0].add(ends[0] * g[0, 0]).at[-1].add(ends[1] * g[0, -1])
        inner = jnp.linalg.solve(matrix, f.ravel()).reshape(7, 8)
        return g.at[0, 1:-1].set(inner)

    weight = jax.random.normal(jax.random.key(9), shape)
    value, pullback = jax.vjp(iterative, *fields)
    expected, exact_pullback = jax.vjp(dense, *fields)
    np.testing.assert_allclose(value, expected, atol=1e-12)
    for found, wanted in zip(pullback(weight), exact_pullback(weight)):
        np.testing.assert_allclose(found, wanted, atol=1e-10)
    tangents = [jax.random.normal(jax.random.key(20 + k), shape) for k in range(4)]
    np.testing.assert_allclose(jax.jvp(iterative, fields, tangents)[1], jax.jvp(dense, fields, tangents)[1], atol=1e-10)


def test_what_is_not_positive_definite_is_refused():
    grid = grid_of((17, 17), "dirichlet")
    one = jnp.ones((1, 17, 17))
    for a in (one.at[0, 3, 3].set(0), -one, one.at[0, 5, 5].set(jnp.nan)):
        with pytest.raises(SolverError, match="not positive definite"):
            solve_darcy(a, one, grid)
    with pytest.raises(SolverError, match="indefinite Helmholtz"):
        solve_poisson(one, grid, reaction=-100 * one)
    with pytest.raises(SolverError, match="NaN or infinity"):
        solve_poisson(one.at[0, 3, 3].set(jnp.nan), grid)
    with pytest.raises(SolverError, match=r"max_steps.*Steps 1, residual"):
        solve_darcy(two_phase(grid, 100.0), one, grid, max_steps=1)


def test_inside_compiled_code_it_is_a_run_time_error_or_a_code():
    grid = grid_of((17, 17), "dirichlet")
    one = jnp.ones((1, 17, 17))
    wrong = one.at[0, 3, 3].set(-1)
    with pytest.raises(eqx.EquinoxRuntimeError, match="not positive definite"):
        jax.block_until_ready(eqx.filter_jit(lambda a: solve_darcy(a, one, grid).value)(wrong))
    batch = jnp.stack([one, wrong, one * jnp.inf, one])
    sources = jnp.stack([one, one, one, one * jnp.nan])
    solution = jax.jit(jax.vmap(lambda a, f: solve_darcy(a, f, grid, throw=False)))(batch, sources)
    assert solution.result.tolist() == [SUCCESS, NOT_POSITIVE, NOT_POSITIVE, NONFINITE]
    np.testing.assert_allclose(solution.value[0], solve_poisson(one, grid).value, rtol=1e-7, atol=1e-9)
    with pytest.raises(SolverError, match=r"not positive definite.*\(result 4\)\. 3 of 4 samples failed"):
        solution.or_raise()


def test_grids_that_do_not_fit():
    one = jnp.ones((1, 8, 8))
    for grid, words in (
        (Grid((8, 8)), "must be one of 'dirichlet', 'neumann', 'periodic'"),
        (Grid((8, 8), boundary=("neumann",) * 2), "must be centers of cells"),
        (Grid((8, 8), boundary=("dirichlet",) * 2, endpoint=(True, False)), "must include both ends"),
        (Grid((8, 9), boundary=("dirichlet",) * 2), "float64 of shape"),
    ):
        with pytest.raises(ConfigError, match=words):
            solve_poisson(one, grid)
    with pytest.raises(ConfigError, match="faces must be one of"):
        solve_darcy(one, one, grid_of((8, 8), "dirichlet"), faces="geometric")


def test_a_derivative_that_fails_stops_no_batch():
    """Of two samples, one with a cotangent that is not finite: no solve of the adjoint can begin."""
    grid, a = grid_of((9, 9), "dirichlet"), 1 + jax.random.uniform(jax.random.key(0), (2, 1, 9, 9))
    solve = lambda a: solve_darcy(a, jnp.ones((1, 9, 9)), grid, throw=False).value
    pull = jax.jit(lambda a, c: jax.vjp(jax.vmap(solve), a)[1](c)[0])
    good, odd = jnp.ones((2, 1, 9, 9)), jnp.ones((2, 1, 9, 9)).at[1, 0, 4, 4].set(jnp.inf)
    wanted, found = pull(a, good), pull(a, odd)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    assert jnp.isfinite(wanted).all() and jnp.isnan(found[1, :, 1:-1, 1:-1]).all()


def test_the_derivatives_of_a_solve_that_fails_are_nan():
    grid, a, f = grid_of((9, 9), "dirichlet"), 1 + jax.random.uniform(jax.random.key(0), (1, 9, 9)), jnp.ones((1, 9, 9))

    def derivatives(a, f):
        solve = lambda *fields: solve_darcy(*fields, grid, rtol=1e-14, max_steps=1, throw=False).value
        value, along = jax.jvp(solve, (a, f), (a, f))
        return value, along, *jax.vjp(solve, a, f)[1](jnp.ones_like(value))

    value, *found = jax.jit(derivatives)(a, f)
    assert jnp.isfinite(value).all() and value.max() > 0  # the last iterate
    for each in found:
        assert jnp.isnan(each[:, 1:-1, 1:-1]).all()
