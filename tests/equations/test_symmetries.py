"""Every symmetry maps solutions to solutions: at any state, the transformed state moves as the equation says."""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import (
    Advection,
    AllenCahn,
    Burgers,
    DiagonalForcing,
    FisherKPP,
    GrayScott,
    Heat,
    KolmogorovForcing,
    KortewegDeVries,
    KuramotoSivashinsky,
    NavierStokes,
    ReactionDiffusion,
)
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

EQUATIONS = [
    Advection((0.7,)),
    Advection((0.7, -0.4)),
    Heat(0.1, 1),
    Heat(0.1, 2),
    ReactionDiffusion(0.1, FisherKPP(), 1),
    ReactionDiffusion(0.1, AllenCahn(), 2),
    ReactionDiffusion((0.1, 0.2), GrayScott(), 2),
    Burgers(0.05, 1),
    Burgers(0.05, 2),
    KuramotoSivashinsky(),
    KuramotoSivashinsky(form="integral"),
    KortewegDeVries(),
    KortewegDeVries(1.0, 0.1),
    NavierStokes(0.01),
    NavierStokes(0.01, 0.1, KolmogorovForcing(2, 1.0)),
]
CASES = [(equation, symmetry) for equation in EQUATIONS for symmetry in equation.symmetries()]
POINTWISE = [(equation, symmetry) for equation, symmetry in CASES if "reversal" not in symmetry.name]
DIFFERENT = [case for case in CASES if isinstance(case[0], (Heat, Burgers, KortewegDeVries, KuramotoSivashinsky))][3:]
NAMES = lambda cases: [f"{type(equation).__name__}{i}-{symmetry.name}" for i, (equation, symmetry) in enumerate(cases)]


def periodic(dims, n=15, centered=False):
    return Grid((n,) * dims, ((1.0, 4.0),) * dims, ("periodic",) * dims, centered=(centered,) * dims)


@pytest.mark.parametrize("equation,symmetry", POINTWISE, ids=NAMES(POINTWISE))
def test_a_transformed_solution_solves_the_equation(equation, symmetry, band_limited):
    """Three arbitrary states at three times, each moving as the equation says, to round-off of the terms."""
    centered = isinstance(equation, (Heat, Burgers, KortewegDeVries))
    grid = periodic(equation.num_dims, 16 if centered else 15, centered)
    largest = 3 if isinstance(equation, ReactionDiffusion) else None
    states = jnp.stack([band_limited(grid, equation.num_channels, largest, seed) for seed in range(3)])
    amount = 1.0 if symmetry.discrete else 0.37

    @jax.jit
    def transformed(states, times):
        rates = jax.vmap(lambda u: equation.rhs(u, grid))(states)
        moved, moved_rates = jax.jvp(lambda u, t: symmetry.act(u, t, grid, amount), (states, times), (rates, jnp.ones(3)))
        return moved, moved_rates, jax.vmap(lambda u, u_t: equation.residual(u, u_t, grid))(moved, moved_rates)

    moved, rates, rest = transformed(states, jnp.asarray([0.0, 0.3, 1.1]))
    assert abs(rest).max() < 1e-12 * max(1.0, abs(rates).max())
    assert abs(moved - states).max() > 0.1


@pytest.mark.parametrize("equation,symmetry", DIFFERENT, ids=NAMES(DIFFERENT))
def test_transformations_compose(equation, symmetry, band_limited):
    """Amounts add up, nothing happens at 0; what is discrete undoes itself."""
    grid, times = periodic(equation.num_dims), jnp.linspace(0.0, 1.0, 3)
    states = jnp.stack([band_limited(grid, equation.num_channels, seed=seed) for seed in range(3)])
    act = jax.jit(lambda u, amount: symmetry.act(u, times, grid, amount))
    if symmetry.discrete:
        np.testing.assert_allclose(act(act(states, 1.0), 1.0), states, atol=1e-14)
        return
    np.testing.assert_allclose(act(states, 0.0), states, atol=1e-13)
    np.testing.assert_allclose(act(act(states, 0.2), 0.5), act(states, 0.7), atol=1e-12)
    assert act(states.astype(jnp.float32), 0.2).dtype == jnp.float32


def test_transformed_trajectories_are_those_from_the_transformed_start(band_limited):
    """An accurate integration of the Burgers equation commutes with boost and reflection, one of KdV with the reversal."""

    times = jnp.linspace(0.0, 0.2, 5)

    def integrate(equation, grid, u0):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda _, u, __: equation.rhs(u, grid)),
            diffrax.Dopri8(),
            times[0],
            times[-1],
            1e-4,
            u0,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-12),
            max_steps=100_000,
        ).ys

    for equation, n in ((Burgers(0.05), 24), (KortewegDeVries(1.0, 0.02), 24)):
        grid = periodic(1, n)
        solve = jax.jit(functools.partial(integrate, equation, grid))
        trajectory = solve(band_limited(grid, largest=4))
        assert abs(trajectory[-1] - trajectory[0]).max() > 0.1
        for symmetry in equation.symmetries():
            moved = symmetry.act(trajectory, times, grid, 0.37)
            np.testing.assert_allclose(solve(moved[0]), moved, atol=1e-9, err_msg=symmetry.name)


def test_translations_are_exact_on_boxes_of_any_size():
    grid = Grid((9, 12), ((0.0, 1.0), (-1.0, 4.0)), ("periodic", "periodic"))
    x, y = np.meshgrid(*grid.coordinates(), indexing="ij")
    wave = lambda s, r: jnp.asarray(np.cos(2 * np.pi * 3 * (x - s)) * np.sin(2 * np.pi * 2 * (y - r) / 5))[None, None]
    along_x, along_y = NavierStokes(0.0).symmetries()[:2]
    moved = along_y.act(along_x.act(wave(0, 0), jnp.zeros(1), grid, 0.3), jnp.zeros(1), grid, -1.7)
    np.testing.assert_allclose(moved, wave(0.3, -1.7), atol=1e-13)


def test_mirrors_keep_the_box_on_every_kind_of_axis():
    x = lambda grid: jnp.asarray(grid.coordinates()[0])[None, None]
    mirror = lambda grid: Heat(0.1).symmetries()[1].act(jnp.cos(x(grid)) + jnp.sin(2 * x(grid)), jnp.zeros(1), grid, 1)
    round_ = ((0.0, 2 * np.pi),)
    for grid in (
        Grid((9,), round_, ("periodic",)),
        Grid((9,), round_, ("periodic",), centered=(True,)),
        Grid((9,), round_, ("dirichlet",)),
        Grid((9,), round_, ("neumann",), centered=(True,)),
    ):
        np.testing.assert_allclose(mirror(grid), jnp.cos(x(grid)) - jnp.sin(2 * x(grid)), atol=1e-14)


def test_axes_that_differ_are_not_exchanged():
    exchange = NavierStokes(0.0).symmetries()[-1]
    for grid, name in (
        (Grid((8, 9), boundary=("periodic", "periodic")), "shape is 8 and 9"),
        (Grid((8, 8), ((0.0, 1.0), (0.0, 2.0)), ("periodic", "periodic")), "extent"),
    ):
        with pytest.raises(SolverError, match=name) as caught:
            exchange.act(jnp.ones((1, 1, *grid.shape)), jnp.zeros(1), grid, 1)
        assert "\n" not in str(caught.value)


def test_forcing_leaves_only_the_symmetries_that_it_has():
    assert NavierStokes(0.0, forcing=DiagonalForcing()).symmetries() == ()
    assert [s.name for s in NavierStokes(0.0, forcing=KolmogorovForcing()).symmetries()] == ["translation along axis 0"]
