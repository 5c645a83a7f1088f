import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import AllenCahn, FisherKPP, FitzHughNagumo, GrayScott, Heat, ReactionDiffusion
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

PLANE = Grid((15, 18), ((0.0, 1.0), (1.0, 3.5)), ("periodic", "periodic"))
REACTIONS = [FisherKPP(rate=1.3), AllenCahn(rate=0.8), FitzHughNagumo(k=0.02), GrayScott(feed=0.03, kill=0.06)]


@pytest.mark.parametrize("shape", [(17,), (16, 9), (8, 9, 7)])
def test_waves_decay_at_their_rate(shape, compiled):
    grid = Grid(shape, tuple((0.0, 1.0 + j) for j in range(len(shape))), ("periodic",) * len(shape))
    x = np.meshgrid(*grid.coordinates(), indexing="ij")
    k = [2 * np.pi * (j + 1) / (1.0 + j) for j in range(len(shape))]
    u0 = jnp.asarray(2.0 + np.prod([np.cos(kj * xj + 0.4) for kj, xj in zip(k, x)], axis=0))[None]
    equation = Heat(0.01, len(shape))

    def solution(t):
        u, u_t = jax.jvp(lambda t: equation.exact(u0, t, grid), (t,), (1.0,))
        return u, equation.residual(u, u_t, grid), equation.invariants(u, grid)["mass"]

    u, rest, mass = compiled(solution, 1.5)
    np.testing.assert_allclose(u, 2.0 + np.exp(-0.01 * sum(kj**2 for kj in k) * 1.5) * (np.asarray(u0) - 2.0), atol=1e-13)
    assert abs(rest).max() < 1e-12
    np.testing.assert_allclose(mass, 2.0 * np.prod(np.ptp(grid.extent, axis=1)), rtol=1e-13)


def test_diffusivity_may_be_traced(band_limited, compiled):
    u = band_limited(PLANE)
    loss = jax.jit(lambda kappa: (Heat(kappa, 2).exact(u, 0.1, PLANE) ** 2).mean())
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(0.1), (loss(0.1 + 1e-5) - loss(0.1 - 1e-5)) / 2e-5, rtol=1e-7)
    many = compiled(jax.vmap(lambda kappa: Heat(kappa, 2).rhs(u, PLANE)), jnp.asarray([0.1, 0.3]))
    np.testing.assert_allclose(many[1], compiled(Heat(0.3, 2).rhs, u, PLANE), atol=1e-11)


@pytest.mark.parametrize("reaction", REACTIONS, ids=lambda r: type(r).__name__)
def test_reactions_equal_those_of_a_finer_grid_on_the_modes_that_are_kept(reaction, band_limited, on_fine_grid, nonlinear_field):
    u = band_limited(PLANE, reaction.num_channels, largest=14 // (reaction.degree + 1))
    equation = ReactionDiffusion(0.1, reaction, 2)
    expected = on_fine_grid(u, PLANE, lambda u, slope: np.asarray(reaction(jnp.asarray(u))), reaction.degree)
    np.testing.assert_allclose(nonlinear_field(equation, u, PLANE), expected, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize("reaction", REACTIONS, ids=lambda r: type(r).__name__)
def test_degrees_and_symmetry_of_reactions_are_as_they_say(reaction):
    """Along a line of states a polynomial of degree p has a constant p-th difference, which is not zero."""
    u, v = np.random.default_rng(0).normal(size=(2, reaction.num_channels, 5))
    values = np.stack([reaction(jnp.asarray(u + s * v)) for s in range(6)])
    assert abs(np.diff(values, reaction.degree + 1, axis=0)).max() < 1e-11 < abs(np.diff(values, reaction.degree, axis=0)).max()
    odd = np.allclose(reaction(jnp.asarray(-u)), -reaction(jnp.asarray(u)), atol=1e-14)
    assert odd == reaction.odd


def test_values_of_the_systems():
    u = jnp.asarray([[0.5], [0.25]])
    np.testing.assert_allclose(FitzHughNagumo()(u)[:, 0], [0.5 - 0.125 - 0.005 - 0.25, 0.25], rtol=1e-14)
    np.testing.assert_allclose(GrayScott(0.04, 0.06)(u)[:, 0], [-0.03125 + 0.02, 0.03125 - 0.025], rtol=1e-14)
    assert np.all(GrayScott()(jnp.asarray([[1.0], [0.0]])) == 0)


@pytest.mark.parametrize("reaction", [FisherKPP(rate=1.3), AllenCahn(rate=0.8)], ids=lambda r: type(r).__name__)
def test_homogeneous_solutions(reaction):
    grid = Grid((8,), boundary=("periodic",))
    u0 = 0.3 * jnp.ones((1, 8))
    u, u_t = jax.jvp(lambda t: reaction.exact(u0, t), (0.9,), (1.0,))
    assert abs(ReactionDiffusion(0.1, reaction).residual(u, u_t, grid)).max() < 1e-14
    np.testing.assert_allclose(reaction.exact(u0, 0.0), u0, rtol=1e-14)
    np.testing.assert_allclose(reaction.exact(u0, 60.0), 1.0, rtol=1e-14)


def test_the_front_of_ablowitz_and_zeppetella_solves_fisher_kpp():
    """Two fronts back to back, so far apart that they do not feel each other, make it periodic."""
    reaction, kappa = FisherKPP(rate=0.7), 1.6
    grid = Grid((1024,), ((-240.0, 240.0),), ("periodic",))
    x = jnp.asarray(grid.coordinates()[0])
    u, u_t = jax.jvp(lambda t: reaction.front(jnp.abs(x) - 120.0, t, kappa)[None], (0.5,), (1.0,))
    assert abs(u_t).max() > 0.1
    assert abs(ReactionDiffusion(kappa, reaction).residual(u, u_t, grid)).max() < 1e-10
    speed = 5 * np.sqrt(0.7 * 1.6 / 6)
    np.testing.assert_allclose(reaction.front(x, 2.0, kappa), reaction.front(x - 2.0 * speed, 0.0, kappa), atol=1e-14)


def test_every_channel_has_its_own_diffusivity(band_limited, compiled):
    u = band_limited(PLANE, 2)
    separate = ReactionDiffusion((0.1, 0.3), GrayScott(), 2)
    rest = compiled(separate.rhs, u, PLANE) - compiled(ReactionDiffusion(0.0, GrayScott(), 2).rhs, u, PLANE)
    expected = compiled(lambda u: jnp.concatenate([Heat(0.1, 2).rhs(u[:1], PLANE), Heat(0.3, 2).rhs(u[1:], PLANE)]), u)
    np.testing.assert_allclose(rest, expected, atol=1e-11)
    slope = compiled(
        jax.grad(lambda kappa: ReactionDiffusion((0.1, kappa), GrayScott(), 2).rhs(u, PLANE)[1, 3, 4]), jnp.asarray(0.3)
    )
    np.testing.assert_allclose(slope, expected[1, 3, 4] / 0.3, rtol=1e-10)
    assert separate.rhs(u.astype(jnp.float32), PLANE).dtype == jnp.float32


def test_wrong_dimensions_and_diffusivities_are_refused():
    for make, message in (
        (lambda: Heat(0.1, 4), "must be 1, 2 or 3, got 4"),
        (lambda: ReactionDiffusion(0.1, FisherKPP(), 0), "must be 1, 2 or 3, got 0"),
        (lambda: ReactionDiffusion((0.1, 0.2), FisherKPP()), "holds 2 numbers, but FisherKPP has 1"),
        (lambda: Heat(0.1).exact(jnp.ones((1, 8)), 1.0, Grid((8,), boundary=("neumann",))), "periodic on every axis"),
    ):
        with pytest.raises(SolverError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value)
