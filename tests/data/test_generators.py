"""What the generators of trajectories simulate, against exact solutions, other resolutions and known statistics."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import equations
from neuralop_jax.data.generators import Burgers, Kolmogorov, KuramotoSivashinsky, NavierStokes
from neuralop_jax.errors import ConfigError, SolverError
from neuralop_jax.solvers import CrankNicolson, integrate


def simulate(generator, resolution, seed=0):
    fields, code = eqx.filter_jit(lambda key: generator.simulate(resolution, key=key))(jax.random.key(seed))
    assert code == 0
    return next(iter(fields.values()))


def distance(a, b):
    return float(jnp.linalg.norm((a - b).ravel()) / jnp.linalg.norm(b.ravel()))


@pytest.mark.parametrize("domain", ["2pi", "unit"])
def test_burgers_is_the_exact_solution(domain):
    generator = Burgers(domain=domain, solver_resolution=512)
    start, end = simulate(generator, 512)
    exact = equations.Burgers(viscosity=0.1).cole_hopf(start, 1.0, generator.grid(512))
    assert float(jnp.abs(end - exact).max()) < 1e-6 * float(jnp.abs(start).max())


def test_burgers_amplitude_of_the_released_script():
    ordinary, script = (simulate(Burgers(measure=m, max_step=1e-3), 256, seed=3)[0] for m in ("lebesgue", "unit"))
    np.testing.assert_allclose(script, np.sqrt(2 * np.pi) * ordinary, rtol=1e-12)


def test_burgers_frames_lie_on_common_points():
    coarse, fine = (simulate(Burgers(solver_resolution=256, num_frames=3), n) for n in (64, 128))
    np.testing.assert_allclose(fine[..., ::2], coarse, atol=1e-13)


def test_a_step_too_long_for_a_sample_is_reported_and_halved():
    generator = Burgers(viscosity=1e-3, max_step=0.1, solver_resolution=256)
    code = eqx.filter_jit(lambda key: generator.simulate(256, key=key)[1])(jax.random.key(0))
    assert code != 0
    assert generator.retry(2).max_step == 0.025
    assert generator.retry(4) is None


def test_navier_stokes_against_the_published_scheme():
    generator = NavierStokes(final_time=1.0, interval=0.5, solver_resolution=32)
    frames = simulate(generator, 32)
    assert frames.shape == (3, 1, 32, 32)
    equation = equations.NavierStokes(1e-3, forcing=equations.DiagonalForcing())
    step = CrankNicolson(equation, generator.grid(32), 1e-3, order=2)
    reference = eqx.filter_jit(lambda w: integrate(step, w, 1000, save_every=500, throw=False).values)(frames[0])
    assert distance(frames, reference) < 1e-6
    assert float(jnp.abs(frames.mean(axis=(1, 2, 3))).max()) < 1e-12


def test_navier_stokes_amplitudes():
    """The released code squares 7^(3/2), the paper does not."""
    options = {"final_time": 0.01, "interval": 0.01, "solver_resolution": 16}
    code, paper = (simulate(NavierStokes(amplitude=a, **options), 16)[0] for a in ("code", "paper"))
    np.testing.assert_allclose(code, 7**0.75 * paper, rtol=1e-12)


def test_navier_stokes_stores_points_of_the_solver():
    coarse, fine = (simulate(NavierStokes(final_time=1.0, solver_resolution=32), n) for n in (16, 32))
    np.testing.assert_allclose(fine[..., ::2, ::2], coarse, atol=1e-13)


def test_kolmogorov_flow_settles_on_the_laminar_solution_when_viscous():
    """Below the first instability the forcing -n cos(ny) is balanced by viscosity: w = -cos(ny) n / (nu n^2 + mu)."""
    generator = Kolmogorov(viscosity=2.0, drag=0.5, burn_in=20.0, num_frames=2, solver_resolution=32)
    frames = simulate(generator, 32)
    y = generator.grid(32).coordinates()[1]
    wanted = np.broadcast_to(-4 / (2.0 * 16 + 0.5) * np.cos(4 * y), (32, 32))
    np.testing.assert_allclose(frames[-1, 0], wanted, atol=1e-8)


def test_kuramoto_sivashinsky_is_on_its_attractor():
    generator = KuramotoSivashinsky(num_frames=101, burn_in=150.0)
    frames = simulate(generator, 128)
    assert frames.shape == (101, 1, 128)
    assert float(jnp.abs(frames.mean(axis=-1)).max()) < 1e-12
    assert float(frames.std()) == pytest.approx(1.28, abs=0.1)  # of the stationary state


def test_kuramoto_sivashinsky_converges_before_chaos_parts_the_paths():
    base = KuramotoSivashinsky(burn_in=0.0, interval=5.0, num_frames=3, solver_resolution=128)
    coarse, fine = (simulate(dataclasses.replace(base, max_step=h), 128) for h in (0.05, 0.0125))
    assert distance(coarse, fine) < 1e-5


def test_times_must_fit_the_interval():
    with pytest.raises(ConfigError, match="final_time must be a multiple of interval = 1, the time between two frames, got 2.5"):
        NavierStokes(final_time=2.5)
    assert NavierStokes(final_time=0.3, interval=0.1).times[-1] == pytest.approx(0.3)


def test_a_forcing_that_the_grid_does_not_see_is_refused():
    with pytest.raises(ConfigError, match="solver_resolution must exceed 3 \\* mode = 48"):
        Kolmogorov(mode=16, solver_resolution=16).simulate(16, key=jax.random.key(0))
    with pytest.raises(SolverError, match="KolmogorovForcing of mode 16 is not seen by 16 points"):
        equations.KolmogorovForcing(mode=16)(Kolmogorov().grid(16))


def test_steps_without_end_are_refused():
    with pytest.raises(ConfigError, match="max_step = 1e-30 makes"):
        Burgers(max_step=1e-30, solver_resolution=16).simulate(16, key=jax.random.key(0))
