import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import Burgers
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

LINE = Grid((33,), ((-1.0, 2.0),), ("periodic",))
PLANE = Grid((15, 18), ((0.0, 1.0), (1.0, 3.5)), ("periodic", "periodic"))


def circle(points=256, **options):
    return Grid((points,), ((0.0, 2 * np.pi),), ("periodic",), **options)


def integrate(equation, u0, grid, t):
    """The solution at time t by a Runge-Kutta method of order 8."""
    solve = lambda u0: diffrax.diffeqsolve(
        diffrax.ODETerm(lambda _, u, __: equation.rhs(u, grid)),
        diffrax.Dopri8(),
        0.0,
        t,
        1e-4,
        u0,
        stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-12),
        max_steps=100_000,
    ).ys[0]
    return jax.jit(solve)(u0)


def test_products_equal_those_of_a_finer_grid_in_one_dimension(band_limited, on_fine_grid, nonlinear_field):
    u = band_limited(LINE)
    expected = on_fine_grid(u, LINE, lambda u, slope: -u * slope(0))
    np.testing.assert_allclose(nonlinear_field(Burgers(0.0), u, LINE), expected, atol=1e-12 * abs(expected).max())


def test_products_equal_those_of_a_finer_grid_in_two_dimensions(band_limited, on_fine_grid, nonlinear_field):
    u = band_limited(PLANE, 2)
    expected = on_fine_grid(u, PLANE, lambda u, slope: -u[:1] * slope(0) - u[1:] * slope(1))
    np.testing.assert_allclose(nonlinear_field(Burgers(0.0, 2), u, PLANE), expected, atol=1e-12 * abs(expected).max())


def test_modes_beyond_the_limit_have_no_part_in_products(nonlinear_field):
    x = circle(32).coordinates()[0]
    u = jnp.asarray(np.cos(11 * x + 0.2) + np.sin(13 * x) + np.cos(16 * x))[None]
    assert abs(nonlinear_field(Burgers(0.0), u, circle(32))).max() < 1e-12


@pytest.mark.parametrize("largest", [None, 100])
def test_the_budget_of_momentum_and_energy_closes(largest, band_limited, compiled):
    equation, u = Burgers(viscosity=0.05), band_limited(LINE, largest=largest) + 0.7

    def budget(u):
        values, rates = jax.jvp(lambda u: equation.invariants(u, LINE), (u,), (equation.rhs(u, LINE),))
        return values, rates, equation.dissipation(u, LINE)

    values, rates, lost = compiled(budget, u)
    assert abs(rates["momentum"]) < 1e-12 * lost
    np.testing.assert_allclose(rates["energy"], -lost, rtol=1e-12)
    np.testing.assert_allclose(values["energy"], 0.5 * 3.0 * np.mean(np.square(u)), rtol=1e-14)


def test_cole_hopf_equals_a_direct_integration_also_with_a_mean(compiled):
    """To 1e-9 on 256 points; the mean is a Galilean boost."""
    grid, equation = circle(), Burgers(viscosity=0.1)
    x = grid.coordinates()[0]
    for mean in (0.0, 0.8):
        u0 = jnp.asarray(np.sin(x) + 0.5 * np.cos(2 * x + 1) + mean)[None]
        reference = integrate(equation, u0, grid, 1.0)
        np.testing.assert_allclose(compiled(equation.cole_hopf, u0, 1.0, grid), reference, atol=1e-9)


def test_cole_hopf_of_a_known_solution_on_points_and_cell_centers(compiled):
    r"""theta = 1 + b exp(-nu t) cos x is a solution of the heat equation, u = -2 nu theta_x / theta of Burgers'."""
    nu, b = 0.1, 0.6

    def exact(x, t):
        theta = 1 + b * np.exp(-nu * t) * np.cos(x)
        return 2 * nu * b * np.exp(-nu * t) * np.sin(x) / theta

    for grid in (circle(64), circle(64, centered=(True,)), circle(65, centered=(True,))):
        x = grid.coordinates()[0]
        found = compiled(Burgers(nu).cole_hopf, jnp.asarray(exact(x, 0.0))[None], 0.7, grid)
        np.testing.assert_allclose(found[0], exact(x, 0.7), atol=1e-13)


def test_cole_hopf_keeps_its_accuracy_where_the_transform_spans_many_orders():
    """At nu = 0.005, theta ranges over exp(200); shorter and longer integrals agree."""
    grid, equation = circle(), Burgers(viscosity=0.005)
    u0 = jnp.asarray(np.sin(grid.coordinates()[0]))[None]
    coarse, fine = equation.cole_hopf(u0, 3.0, grid, refine=2), equation.cole_hopf(u0, 3.0, grid, refine=8)
    np.testing.assert_allclose(coarse, fine, atol=1e-11)
    middle = fine[0, 127:130]  # the shock stands at pi
    assert abs(middle[1]) < 1e-11 and middle[0] > 0.2 and middle[2] < -0.2


def test_cole_hopf_refuses_what_it_cannot_do():
    u0 = jnp.ones((1, 16))
    for equation, u, t, grid, message in (
        (Burgers(0.1), u0, 1e-6, circle(16), "narrower than the spacing"),
        (Burgers(0.1), u0, 0.0, circle(16), "narrower than the spacing"),
        (Burgers(0.1, 2), jnp.ones((2, 15, 18)), 1.0, PLANE, "one dimension only"),
        (Burgers(0.1), jnp.ones((1, 15)), 1.0, circle(16), "shape"),
    ):
        with pytest.raises(SolverError, match=message) as caught:
            equation.cole_hopf(u, t, grid)
        assert "\n" not in str(caught.value)


def test_a_wave_along_one_axis_moves_as_in_one_dimension(band_limited, compiled):
    line = Grid((18,), (PLANE.extent[1],), ("periodic",))
    u = band_limited(line)
    plane = jnp.asarray(np.stack([np.zeros((15, 18)), np.broadcast_to(u, (15, 18))]))
    slope = compiled(Burgers(0.1, 2).rhs, plane, PLANE)
    np.testing.assert_allclose(slope[1], np.broadcast_to(compiled(Burgers(0.1).rhs, u, line), (15, 18)), atol=1e-11)
    assert abs(slope[0]).max() < 1e-12


def test_single_precision_stays_single_and_speed_is_the_largest_velocity(band_limited):
    u = band_limited(PLANE, 2)
    single, double = (Burgers(0.1, 2).rhs(u.astype(kind), PLANE) for kind in (jnp.float32, jnp.float64))
    assert single.dtype == jnp.float32 and abs(single - double).max() < 1e-5 * abs(double).max()
    assert Burgers(0.1, 2).dissipation(u.astype(jnp.float32), PLANE).dtype == jnp.float32
    np.testing.assert_array_equal(Burgers(0.1, 2).speed(u, PLANE), [abs(u[0]).max(), abs(u[1]).max()])


def test_viscosity_may_be_traced(band_limited, compiled):
    u = band_limited(LINE)
    loss = jax.jit(lambda nu: (Burgers(nu).rhs(u, LINE) ** 3).mean())
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(0.1), (loss(0.1 + 1e-5) - loss(0.1 - 1e-5)) / 2e-5, rtol=1e-7)
    many = compiled(jax.vmap(lambda nu: Burgers(nu).rhs(u, LINE)), jnp.asarray([0.1, 0.3]))
    np.testing.assert_allclose(many[1], compiled(Burgers(0.3).rhs, u, LINE), rtol=1e-12, atol=1e-12)


def test_three_dimensions_are_refused():
    with pytest.raises(SolverError, match="must be 1 or 2, got 3"):
        Burgers(0.1, 3)
