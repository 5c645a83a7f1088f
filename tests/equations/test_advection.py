import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import Advection
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

CASES = [
    ((17,), ((-1.0, 1.0),), (0.7,)),
    ((16, 11), ((0.0, 1.0), (2.0, 5.0)), (1.0, -0.4)),
    ((8, 9, 7), ((0.0, 1.0), (0.0, 2.0), (0.0, 0.5)), (0.3, 2.0, -1.0)),
]


def start(grid, shift=()):
    """A sum of products of waves in closed form, moved by `shift`."""
    shift = shift or (0.0,) * grid.num_dims
    points = [2 * np.pi * (x - left - s) / (right - left) for x, (left, right), s in zip(grid.coordinates(), grid.extent, shift)]
    x = np.meshgrid(*points, indexing="ij")
    first = np.prod([np.cos((j + 1) * v + 0.2) for j, v in enumerate(x)], axis=0)
    return jnp.asarray(0.3 + first + np.sin(sum(x)) - 0.5 * np.cos(3 * x[0]))[None]


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("shape,extent,velocity", CASES)
def test_exact_moves_band_limited_fields_without_error(shape, extent, velocity, centered, compiled):
    grid = Grid(shape, extent, ("periodic",) * len(shape), centered=(centered,) * len(shape))
    found = compiled(lambda u: Advection(velocity).exact(u, 1.7, grid), start(grid))
    np.testing.assert_allclose(found, start(grid, tuple(1.7 * b for b in velocity)), atol=1e-12)


@pytest.mark.parametrize("shape,extent,velocity", CASES)
def test_exact_solves_the_equation_and_its_split_is_all_linear(shape, extent, velocity, nonlinear_field, compiled):
    grid, equation = Grid(shape, extent, ("periodic",) * len(shape)), Advection(velocity)

    def solution(t):
        u, u_t = jax.jvp(lambda t: equation.exact(start(grid), t, grid), (t,), (1.0,))
        back = equation.exact(equation.exact(u, 2.0, grid), -2.0, grid)
        return u, u_t, equation.residual(u, u_t, grid), equation.speed(u, grid), back

    u, u_t, rest, speed, back = compiled(solution, 0.3)
    assert abs(u_t).max() > 1 and abs(rest).max() < 1e-11
    assert np.all(nonlinear_field(equation, u, grid) == 0) and np.all(speed == 0)
    np.testing.assert_allclose(back, u, atol=1e-13)


def test_a_full_turn_brings_the_start_back_and_the_mass_is_kept(band_limited, compiled):
    grid = Grid((12, 15), ((0.0, 2.0), (0.0, 3.0)), ("periodic", "periodic"))
    u, equation = band_limited(grid), Advection((4.0, -3.0))
    moved = compiled(lambda u: [equation.exact(u, t, grid) for t in (1.0, 0.37)], u)
    np.testing.assert_allclose(moved[0], u, atol=1e-12)
    mass, later = (compiled(equation.invariants, v, grid)["mass"] for v in (u, jnp.asarray(moved[1])))
    np.testing.assert_allclose(mass, 6.0 * np.mean(u), rtol=1e-13)
    np.testing.assert_allclose(later, mass, rtol=1e-12)


def test_velocities_may_be_traced():
    grid = Grid((16,), boundary=("periodic",))
    target = start(grid, (0.3,))
    loss = jax.jit(lambda beta: ((Advection((beta,)).exact(start(grid), 1.0, grid) - target) ** 2).mean())
    slope = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(slope(0.25), (loss(0.25 + 1e-5) - loss(0.25 - 1e-5)) / 2e-5, rtol=1e-7)
    assert abs(slope(0.3)) < 1e-12
    many = jax.vmap(lambda beta: Advection(beta).exact(start(grid), 1.0, grid))(jnp.asarray([[0.1], [0.3]]))
    np.testing.assert_allclose(many[1], target, atol=1e-12)


def test_single_precision_stays_single():
    grid = Grid((16,), boundary=("periodic",))
    found = Advection((0.7,)).exact(start(grid).astype(jnp.float32), 1.0, grid)
    assert found.dtype == jnp.float32 and abs(found - start(grid, (0.7,))).max() < 1e-5
    assert Advection((0.7,)).rhs(start(grid).astype(jnp.float32), grid).dtype == jnp.float32


def test_wrong_velocities_and_grids_are_refused():
    for velocity in ((), (1.0, 1.0, 1.0, 1.0), jnp.ones(5)):
        with pytest.raises(SolverError, match="one to three numbers, one for each axis"):
            Advection(velocity)
    grid = Grid((8, 8), boundary=("periodic", "periodic"))
    with pytest.raises(SolverError, match="Advection has 1 space dimensions, got a grid of shape") as caught:
        Advection((1.0,)).exact(jnp.ones((1, 8, 8)), 1.0, grid)
    assert "\n" not in str(caught.value)
