"""Orders of convergence, exact solutions and conserved quantities of the fixed-step schemes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import Burgers, DiagonalForcing, FourierBasis, KolmogorovForcing, NavierStokes
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import ETDRK, CrankNicolson, integrate

TORUS = Grid((32, 32), boundary=("periodic", "periodic"))
LINE = Grid((1024,), ((0.0, 2 * np.pi),), ("periodic",))


def last(step, u0, num_steps):
    """The field after `num_steps`, compiled as one program."""
    return eqx.filter_jit(lambda u: integrate(step, u, num_steps, save_every=num_steps, throw=False).values[-1])(u0)


def distance(a, b):
    return float(jnp.linalg.norm((a - b).ravel()) / jnp.linalg.norm(b.ravel()))


def flow(grid, seed=0, decay=3.0):
    """A smooth random vorticity of zero mean and unit standard deviation."""
    basis = FourierBasis(grid)
    noise = basis.coefficients(jax.random.normal(jax.random.key(seed), (1, *grid.shape)))
    scale = -basis.laplacian / (4 * np.pi**2)
    smooth = basis.field(noise * (basis.alias_free * np.where(scale > 0, (scale + 9) ** -decay, 0))[None])
    return smooth / smooth.std()


def wave(grid):
    x = jnp.asarray(grid.coordinates()[0])
    return (jnp.sin(x) + 0.3 + 0.7 * jnp.cos(2 * x + 1))[None]


@pytest.mark.parametrize(
    ("scheme", "order"), [(ETDRK, 1), (ETDRK, 2), (ETDRK, 3), (ETDRK, 4), (CrankNicolson, 1), (CrankNicolson, 2)]
)
def test_order_against_cole_hopf(scheme, order):
    grid = LINE.with_shape((256,))
    burgers, u0 = Burgers(viscosity=0.1), wave(grid)
    exact = burgers.cole_hopf(u0, 1.0, grid)
    steps = (200, 400) if order < 4 else (100, 200)
    errors = [distance(last(scheme(burgers, grid, 1 / n, order=order), u0, n), exact) for n in steps]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)
    assert errors[1] < 10.0 ** -(order + 1)


def test_burgers_equals_cole_hopf_at_1024_points():
    burgers, u0 = Burgers(viscosity=0.1), wave(LINE)
    assert distance(last(ETDRK(burgers, LINE, 1 / 200), u0, 200), burgers.cole_hopf(u0, 1.0, LINE)) < 1e-6


def test_burgers_energy_budget_and_mean():
    burgers, u0 = Burgers(viscosity=0.1), wave(LINE)
    frames = eqx.filter_jit(lambda u: integrate(ETDRK(burgers, LINE, 1e-3), u, 1000, throw=False).values)(u0)
    invariants = jax.vmap(lambda u: burgers.invariants(u, LINE))(frames)
    energy = np.asarray(invariants["energy"])
    assert np.all(np.diff(energy) < 0)
    loss = np.asarray(jax.vmap(lambda u: burgers.dissipation(u, LINE))(frames))
    lost = 1e-3 * np.sum((loss[1:] + loss[:-1]) / 2)
    assert abs(energy[0] - energy[-1] - lost) < 1e-4 * lost
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), u0.mean(), rtol=0, atol=1e-12)


def test_burgers_small_wave_decays_linearly():
    grid = Grid((64,), boundary=("periodic",))
    u0 = 1e-6 * jnp.sin(2 * jnp.pi * jnp.asarray(grid.coordinates()[0]))[None]
    end = last(ETDRK(Burgers(viscosity=0.1), grid, 0.01), u0, 100)
    assert float(end.max() / u0.max()) == pytest.approx(np.exp(-0.4 * np.pi**2), rel=1e-4)
    assert np.exp(-0.4 * np.pi**2) == pytest.approx(0.0193, abs=5e-5)


def test_burgers_does_not_depend_on_the_grid():
    burgers = Burgers(viscosity=0.1)
    coarse, fine = (last(ETDRK(burgers, grid, 1 / 400), wave(grid), 400) for grid in (LINE, LINE.with_shape((2048,))))
    assert distance(fine[:, ::2], coarse) < 1e-6


def test_burgers_in_two_dimensions_is_the_one_dimensional_one_along_an_axis():
    square = Grid((64, 8), ((0.0, 2 * np.pi), (0.0, 1.0)), ("periodic", "periodic"))
    line = LINE.with_shape((64,))
    u0 = wave(line)
    field = jnp.stack([jnp.repeat(u0[0][:, None], 8, axis=1), jnp.zeros((64, 8))])
    end = last(ETDRK(Burgers(0.1, num_dims=2), square, 0.01), field, 50)
    assert distance(end[0, :, 3], last(ETDRK(Burgers(0.1), line, 0.01), u0, 50)[0]) < 1e-6  # 21 of 32 modes are kept
    assert jnp.abs(end[1]).max() == 0


@pytest.mark.parametrize("scheme", [ETDRK, CrankNicolson])
def test_taylor_green_vortices_decay(scheme):
    equation = NavierStokes(viscosity=0.01)
    end = last(scheme(equation, TORUS, 2e-3, order=2), NavierStokes.taylor_green(TORUS), 500)
    assert distance(end, NavierStokes.taylor_green(TORUS, t=1.0, viscosity=0.01)) < 1e-6


@pytest.mark.parametrize(("order", "slope"), [(1, 1.0), (2, 2.0)])
def test_navier_stokes_converges_in_the_step(order, slope):
    equation, w0 = NavierStokes(viscosity=1e-3, forcing=DiagonalForcing()), flow(TORUS)
    ends = [last(CrankNicolson(equation, TORUS, 0.5 / n, order=order), w0, n) for n in (50, 100, 200)]
    found = np.log2(distance(ends[0], ends[1]) / distance(ends[1], ends[2]))
    assert found == pytest.approx(slope, abs=0.15)


def test_schemes_converge_to_the_same_flow():
    equation, w0 = NavierStokes(viscosity=1e-3, drag=0.1, forcing=KolmogorovForcing(amplitude=1.0)), flow(TORUS)
    reference = last(ETDRK(equation, TORUS, 1e-3), w0, 500)
    assert distance(last(CrankNicolson(equation, TORUS, 1e-3), w0, 500), reference) < 1e-5
    assert distance(last(ETDRK(equation, TORUS, 1e-2), w0, 50), reference) < 1e-6


def test_ideal_flow_keeps_energy_enstrophy_and_mean():
    equation = NavierStokes(viscosity=0.0)
    w0 = flow(TORUS, seed=1)
    frames = eqx.filter_jit(lambda w: integrate(ETDRK(equation, TORUS, 2e-3), w, 500, save_every=100, throw=False).values)(w0)
    found = jax.vmap(lambda w: equation.invariants(w, TORUS))(frames)
    for name in ("energy", "enstrophy"):
        assert np.max(np.abs(found[name] / found[name][0] - 1)) < 1e-4
    assert np.max(np.abs(frames.mean(axis=(1, 2, 3)))) < 1e-10
    assert distance(frames[-1], w0) > 0.1  # it has moved


def test_velocity_is_free_of_divergence():
    basis = FourierBasis(TORUS)
    u = NavierStokes(viscosity=0.0).velocity(flow(TORUS), TORUS)
    c = basis.coefficients(u)
    divergence = basis.field(basis.derivative(c[:1], 0) + basis.derivative(c[1:], 1))
    assert jnp.abs(divergence).max() < 1e-10


def test_precision_follows_the_field():
    step = ETDRK(NavierStokes(viscosity=1e-3), TORUS, 1e-2)
    w0 = flow(TORUS)
    single = step(w0.astype(jnp.float32))
    assert single.dtype == jnp.float32
    assert distance(single.astype(jnp.float64), step(w0)) < 1e-5


def test_viscosity_can_be_traced():
    w0, h = flow(TORUS), 1e-5
    end = lambda nu: (ETDRK(NavierStokes(viscosity=nu), TORUS, 1e-2)(w0) ** 2).sum()
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(end)))(jnp.array([1e-2 - h, 1e-2, 1e-2 + h]))
    assert float(slopes[1]) == pytest.approx(float(values[2] - values[0]) / (2 * h), rel=1e-6)
    assert float(values[1]) == pytest.approx(float(end(1e-2)), rel=1e-12)


def test_what_cannot_be_stepped_is_refused():
    with pytest.raises(SolverError, match="order must be one of 1, 2, 3, 4, got 5"):
        ETDRK(Burgers(0.1), LINE, 1e-3, order=5)
    with pytest.raises(SolverError, match="finite and above 0, got dt = -1.0"):
        ETDRK(Burgers(0.1), LINE, -1.0)
    with pytest.raises(SolverError, match="1 space dimensions, got a grid of shape"):
        CrankNicolson(Burgers(0.1), TORUS, 1e-3)
    with pytest.raises(SolverError, match="periodic on every axis"):
        ETDRK(Burgers(0.1), Grid((64,)), 1e-3)
    with pytest.raises(SolverError, match="jax.vmap"):
        ETDRK(Burgers(0.1), LINE, 1e-3)(jnp.zeros((3, 1, 1024)))
