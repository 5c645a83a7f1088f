import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import Darcy, Helmholtz, Poisson
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


def box(*shape, extent=(), kind="dirichlet"):
    return Grid(shape, extent, (kind,) * len(shape))


EXTENT = ((0.0, 1.0), (-1.0, 1.0), (2.0, 2.5))


@pytest.mark.parametrize("shape", [(17,), (16, 15), (12, 13, 14)])
def test_sines_on_periodic_grids_solve_poisson_and_helmholtz_to_round_off(shape, compiled):
    grid = box(*shape, extent=EXTENT[: len(shape)], kind="periodic")
    for equation in (Poisson(len(shape)), Helmholtz(3.0, len(shape))):
        u, data = equation.manufactured(grid)
        rest, source = compiled(lambda u, data: equation.residual(u, grid, **data), u, data), np.asarray(data["source"])  # noqa: B023
        assert abs(rest).max() < 1e-12 * abs(source).max()
        assert abs(np.asarray(u)).max() > 0.5


@pytest.mark.parametrize("shape", [(17,), (16, 15), (12, 13, 14)])
def test_sines_on_dirichlet_grids_have_the_eigenvalues_of_the_differences(shape, compiled):
    grid, dims = box(*shape, extent=EXTENT[: len(shape)]), len(shape)
    u, data = Poisson(dims).manufactured(grid)
    discrete = sum(4 / h**2 * np.sin(np.pi * (j + 1) / (2 * (n - 1))) ** 2 for j, (h, n) in enumerate(zip(grid.spacing, shape)))
    inner = (slice(None), *(slice(1, -1),) * dims)
    found = compiled(lambda u: Poisson(dims).residual(u, grid, source=0.0), u)
    shifted = compiled(lambda u, source: Helmholtz(2.0, dims).residual(u, grid, source=source), u, data["source"])
    u, source = np.asarray(u), np.asarray(data["source"])
    np.testing.assert_allclose(found[inner], discrete * u[inner], atol=1e-11 * discrete)
    assert np.all(found == np.pad(found[inner], ((0, 0), *((1, 1),) * dims)))
    np.testing.assert_allclose(shifted[inner], ((discrete - 4.0) * u - source)[inner], atol=1e-11 * discrete)
    assert np.all(shifted == np.pad(shifted[inner], ((0, 0), *((1, 1),) * dims)))


@pytest.mark.parametrize("faces", ["harmonic", "arithmetic"])
@pytest.mark.parametrize("dims", [1, 2])
def test_residuals_and_solutions_of_darcy_converge_at_second_order(faces, dims, compiled):
    equation, residuals, errors = Darcy(faces, dims), [], []
    for n in (17, 33):
        grid = box(*(n, n + 4)[:dims], extent=EXTENT[:dims])
        u, data = equation.manufactured(grid)
        rest = compiled(lambda u, data: equation.residual(u, grid, **data), u, data)  # noqa: B023
        residuals.append(abs(rest).max())
        errors.append(abs(np.asarray(equation.reference(grid, **data)) - np.asarray(u)).max())
    for values in (residuals, errors):
        assert np.all(np.diff(np.log2(values)) < -1.85), values


def test_poisson_and_helmholtz_converge_at_second_order():
    for equation in (Poisson(), Helmholtz(4.0)):
        errors = []
        for n in (9, 17, 33):
            grid = box(n, n)
            u, data = equation.manufactured(grid, (1, 2))
            errors.append(abs(np.asarray(equation.reference(grid, **data)) - np.asarray(u)).max())
        assert np.all(np.diff(np.log2(errors)) < -1.9), errors


def test_the_solution_for_a_unit_source_has_its_known_maximum_and_mean():
    """0.0736714 in the middle; the mean 0.0351443 by extrapolation of the trapezoidal rule."""
    fields = [np.asarray(Poisson().unit_source(box(n, n))) for n in (33, 65, 129)]
    np.testing.assert_allclose([field.max() for field in fields], 0.0736713533, atol=1e-10)
    np.testing.assert_allclose(fields[2][0, ::4, ::4], fields[0][0], atol=1e-14)
    means = [field[0, :-1, :-1].mean() for field in fields]
    np.testing.assert_allclose(means[2] + (means[2] - means[1]) / 3, 0.0351443, atol=1e-7)
    np.testing.assert_allclose(fields[0], np.swapaxes(fields[0], 1, 2), atol=1e-14)
    errors = [
        abs(Darcy().reference(box(n, n), permeability=jnp.full((1, n, n), 3.0)) - Poisson().unit_source(box(n, n)) / 3).max()
        for n in (17, 33)
    ]
    assert errors[0] / errors[1] > 3.7


def test_the_unit_source_on_a_rectangle_is_the_same_from_both_sides():
    tall = Poisson().unit_source(box(13, 25, extent=((0.0, 1.0), (-1.0, 1.0))))
    wide = Poisson().unit_source(box(25, 13, extent=((3.0, 5.0), (0.0, 1.0))))
    np.testing.assert_allclose(tall[0], wide[0].T, atol=1e-12)


@pytest.mark.parametrize("layers", [(3.0, 12.0), (1.0, 100.0, 0.01, 7.0)])
@pytest.mark.parametrize("dims", [1, 2])
def test_layers_are_exact_with_harmonic_faces(layers, dims, compiled):
    """Interfaces half-way between points, layers of different thickness."""
    grid = box(*(14, 5)[:dims], extent=((1.0, 2.3), (0.0, 1.0))[:dims])
    u, data = Darcy(num_dims=dims).layered(grid, layers, (1.25, 1.55, 2.05)[: len(layers) - 1])
    ends = np.reshape(u, (14, -1))[:, 0]
    assert abs(ends[0]) < 1e-15 and abs(ends[-1] - 1) < 1e-14 and len(np.unique(data["permeability"])) == len(layers)
    scale = max(layers) / 0.1**2
    kinds = [Darcy(faces, dims) for faces in ("harmonic", "arithmetic")]
    exact, wrong = compiled(lambda u, data: [kind.residual(u, grid, **data) for kind in kinds], u, data)
    assert abs(exact).max() < 1e-13 * scale
    assert abs(wrong).max() > 1e-3 * scale


def test_layers_with_a_source_satisfy_the_equation_within_each_layer():
    grid = box(31)
    u, data = Darcy(num_dims=1).layered(grid, (2.0, 8.0), (0.5,), source=3.0, ends=(0.5, -1.0))
    found = Darcy(num_dims=1).residual(u, grid, **data)
    assert abs(jnp.delete(found, jnp.asarray([15, 16]), axis=1)).max() < 1e-10
    assert u[0, 0] == 0.5 and abs(u[0, -1] + 1.0) < 1e-14
    flux = lambda i, a: a * (u[0, i + 1] - u[0, i]) * 30
    np.testing.assert_allclose(flux(20, 8.0) - flux(5, 2.0), -3.0 * 15 / 30, rtol=1e-11)


def test_solutions_of_the_benchmark_obey_the_maximum_principle():
    """With 3 <= a <= 12 and f = 1, 0 <= u <= 0.0245571, up to the second order of the differences."""
    permeability = jnp.asarray(np.where(np.random.default_rng(0).normal(size=(1, 33, 33)) > 0, 12.0, 3.0))
    for faces in ("harmonic", "arithmetic"):
        u = Darcy(faces).reference(box(33, 33), permeability=permeability)
        assert u.min() == 0.0 and 0.0736714 / 12 < u.max() < 0.0245571
        assert np.all(u[0, 0] == 0) and np.all(u[0, :, -1] == 0)
        assert abs(Darcy(faces).residual(u, box(33, 33), permeability=permeability)).max() < 1e-11


def test_the_residual_sees_the_checkerboard():
    n = 17
    board = jnp.asarray((-1.0) ** np.add.outer(np.arange(n), np.arange(n)))[None]
    found = Darcy().residual(board, box(n, n), permeability=jnp.ones((1, n, n)), source=0.0)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], 8 * 16**2 * board[:, 1:-1, 1:-1], rtol=1e-13)


@pytest.mark.parametrize("equation", [Poisson(), Helmholtz(2.5), Darcy(), Darcy("arithmetic")], ids=str)
def test_residuals_commute_with_the_symmetries_of_the_square(equation):
    grid, generator = box(9, 9), np.random.default_rng(0)
    u, source = generator.normal(size=(2, 1, 9, 9))
    data = {"source": jnp.asarray(source)}
    if isinstance(equation, Darcy):
        data["permeability"] = jnp.asarray(np.exp(generator.normal(size=(1, 9, 9))))
    symmetries = equation.symmetries()
    assert len(symmetries) == 3
    for symmetry in symmetries:
        move = lambda v, act=symmetry.act: act(v[None], jnp.zeros(1), grid, 1)[0]
        moved = equation.residual(move(jnp.asarray(u)), grid, **{name: move(v) for name, v in data.items()})
        np.testing.assert_allclose(moved, move(equation.residual(jnp.asarray(u), grid, **data)), atol=1e-11)
        assert abs(moved - equation.residual(jnp.asarray(u), grid, **data)).max() > 1


def test_residuals_are_differentiable_in_everything():
    grid, generator = box(6, 7), np.random.default_rng(0)
    u, a, f = (jnp.asarray(v) for v in np.exp(0.3 * generator.normal(size=(3, 1, 6, 7))))
    direction = [jnp.asarray(v) for v in generator.normal(size=(3, 1, 6, 7))]
    losses = {
        "poisson": lambda u, a, f: (Poisson().residual(u, grid, source=f) ** 2).mean(),
        "helmholtz": lambda u, a, f: (Helmholtz(a.mean()).residual(u, grid, source=f) ** 2).mean(),
        "harmonic": lambda u, a, f: (Darcy().residual(u, grid, permeability=a, source=f) ** 2).mean(),
        "arithmetic": lambda u, a, f: (Darcy("arithmetic").residual(u, grid, permeability=a, source=f) ** 2).mean(),
    }
    for name, loss in losses.items():
        slope = sum((g * d).sum() for g, d in zip(jax.jit(jax.grad(loss, (0, 1, 2)))(u, a, f), direction))
        at = jax.jit(lambda s, loss=loss: loss(*(v + s * d for v, d in zip((u, a, f), direction))))
        np.testing.assert_allclose(slope, (at(1e-5) - at(-1e-5)) / 2e-5, rtol=1e-6, err_msg=name)


def test_single_precision_stays_single():
    grid = box(9, 9)
    u, data = Darcy().manufactured(grid)
    single = {name: v.astype(jnp.float32) for name, v in data.items()}
    for equation in (Darcy(), Poisson(), Helmholtz(2.0)):
        given = single if isinstance(equation, Darcy) else {"source": single["source"]}
        exact = data if isinstance(equation, Darcy) else {"source": data["source"]}
        found = equation.residual(u.astype(jnp.float32), grid, **given)
        assert found.dtype == jnp.float32 and abs(found - equation.residual(u, grid, **exact)).max() < 1e-3
    periodic = box(8, 8, kind="periodic")
    assert Poisson().residual(jnp.ones((1, 8, 8), jnp.float32), periodic, source=0.0).dtype == jnp.float32


def test_the_direct_solution_of_a_parabola_is_exact():
    """-u'' = 1 is solved by x (1 - x) / 2, which second differences reproduce exactly."""
    grid = box(23)
    x = grid.coordinates()[0]
    np.testing.assert_allclose(Poisson(1).reference(grid)[0], x * (1 - x) / 2, atol=1e-14)


def test_wrong_grids_and_data_are_refused():
    u, square = jnp.ones((1, 8, 8)), box(8, 8)
    periodic, mixed = box(8, 8, kind="periodic"), Grid((8, 8), boundary=("periodic", "dirichlet"))
    open_ended = Grid((8, 8), boundary=("dirichlet", "dirichlet"), endpoint=(False, True))
    for call, message in (
        (lambda: Poisson().residual(u, mixed, source=u), "periodic on every axis, or Dirichlet with both end points"),
        (lambda: Poisson().residual(u, open_ended, source=u), "periodic on every axis, or Dirichlet with both end points"),
        (lambda: Poisson(1).residual(jnp.ones((1, 2)), box(2), source=1.0), "at least 3 points"),
        (lambda: Helmholtz(1.0).residual(u[:, 1:], square, source=1.0), r"shape \(1, 8, 8\)"),
        (lambda: Darcy().residual(u[:, 1:], square, permeability=u[:, 1:]), r"shape \(1, 8, 8\)"),
        (lambda: Darcy().residual(u, periodic, permeability=u), "Darcy needs a Dirichlet grid"),
        (lambda: Darcy().manufactured(periodic), "Darcy needs a Dirichlet grid"),
        (lambda: Poisson().reference(periodic), "for Dirichlet grids, got a periodic one"),
        (lambda: Poisson().unit_source(periodic), "Dirichlet grids in two dimensions"),
        (lambda: Poisson().manufactured(square, (1,)), "one number for each of the 2 axes"),
        (lambda: Darcy().layered(square, (1.0, 2.0), (0.5, 0.7)), "needs 1 ascending interfaces between 0.0 and 1.0"),
        (lambda: Darcy().layered(square, (1.0, 2.0), (1.5,)), "got .1.5,."),
        (lambda: Poisson(4), "must be 1, 2 or 3, got 4"),
        (lambda: Helmholtz(4.0).reference(box(3, 3), source=1.0), "no single solution"),
    ):
        with pytest.raises(SolverError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
